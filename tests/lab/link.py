"""This machine as a host of its own: reached over SSH and over a link that can be taken down, its files in plain sight.

A network namespace is where the controller's `ssh` runs; a pair of interfaces leads from there to this machine. The
server of SSH is that of the image of the test hosts, and its sessions are this machine's: its files, its processes and
its loopback.
"""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import image, keys, podman
from .hosts import SSHD
from .server import free_port
from .shell import CommandFailed, run

_SSHD_CONFIG = f"""\
HostKey {image.MOUNT}/host_key
AuthorizedKeysFile {image.MOUNT}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PrintMotd no
ListenAddress {{address}}:{{port}}
ChrootDirectory /machine
"""
_GIVES_UP = "-o ControlMaster=auto -o ControlPersist=60 -o ServerAliveInterval=1 -o ServerAliveCountMax=3"


@dataclass
class Link:
    """Use it in a ``with`` block; it takes root, `podman` and `ip`."""

    folder: Path
    port: int = field(default_factory=free_port)
    _id: str = field(default_factory=lambda: secrets.token_hex(4))
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        # A network for measuring other networks, which is not routed: four addresses of it.
        third, fourth = int(self._id[:2], 16), int(self._id[2:4], 16) & 0b11111100
        self._host, self._controller = (f"198.18.{third}.{fourth + number}" for number in (1, 2))

    @property
    def _name(self) -> str:
        return f"link-{self._id}"

    @property
    def _interfaces(self) -> tuple[str, str]:
        return f"h{self._id}", f"c{self._id}"

    def __enter__(self) -> Link:
        with ExitStack() as stack:
            stack.callback(self._take_away)
            self._lay()
            self._serve()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _lay(self) -> None:
        host, controller = self._interfaces
        run(["ip", "netns", "add", self._name])
        run(["ip", "link", "add", host, "type", "veth", "peer", "name", controller, "netns", self._name])
        run(["ip", "address", "add", f"{self._host}/30", "dev", host])
        run(["ip", "-n", self._name, "address", "add", f"{self._controller}/30", "dev", controller])
        run(["ip", "-n", self._name, "link", "set", controller, "up"])
        self.up()

    def _serve(self) -> None:
        keys.make(self.folder)
        (self.folder / "host" / "sshd_config").write_text(_SSHD_CONFIG.format(address=self._host, port=self.port))
        keys.know(self.folder, [f"[{self._host}]:{self.port}"])
        self._program.write_text(f'#!/bin/sh\nexec ip netns exec {self._name} ssh "$@"\n')
        self._program.chmod(0o700)
        podman.serve(
            self._name, image.ensure(), SSHD, mounts=[(self.folder / "host", image.MOUNT), (Path("/"), "/machine")]
        )

    @property
    def _program(self) -> Path:
        return self.folder / "ssh"

    @property
    def variables(self) -> dict[str, Any]:
        """What an inventory says of the host. A silent connection is given up after three seconds."""
        return {
            "ansible_connection": "ssh",
            "ansible_host": self._host,
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_executable": str(self._program),
            "ansible_ssh_private_key_file": str(self.folder / "user_key"),
            "ansible_ssh_args": f"{keys.ssh_arguments(self.folder)} {_GIVES_UP}",
            "ansible_ssh_transfer_method": "piped",
        }

    def down(self) -> None:
        """Take the host's end of the link down: its connections hang, and what runs on it goes on."""
        run(["ip", "link", "set", self._interfaces[0], "down"])

    def up(self) -> None:
        """Put it up."""
        run(["ip", "link", "set", self._interfaces[0], "up"])

    def _take_away(self) -> None:
        with suppress(CommandFailed):
            podman.podman("rm", "--force", "--ignore", "--time", "0", self._name)
        with suppress(CommandFailed):
            # Connections that `ssh` keeps open for the next run.
            for pid in run(["ip", "netns", "pids", self._name]).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGTERM)
            run(["ip", "link", "delete", self._interfaces[0]])
            run(["ip", "netns", "delete", self._name])
