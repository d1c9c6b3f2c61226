"""The few words of podman that the lab uses."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .shell import CommandFailed, run

SYSTEMD = "/lib/systemd/systemd"
ENVIRONMENT = {"CONTAINERS_CONF": str(Path(__file__).with_name("containers.conf"))}


def podman(*words: str | Path, text: str | None = None, timeout: float = 300) -> str:
    return run(["podman", *words], env=ENVIRONMENT, text=text, timeout=timeout).strip()


def image_exists(name: str) -> bool:
    try:
        podman("image", "exists", name)
    except CommandFailed:
        return False
    return True


def _ulimits() -> list[str]:
    """No more than this process has: raising a hard limit is refused on some machines."""
    words: list[str] = []
    for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(kind)[1]
        limit = 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)
        words += ["--ulimit", f"{name}={limit}:{limit}"]
    return words


def start(
    name: str, image: str, command: Sequence[str], *, label: str, network: str, mounts: Sequence[tuple[Path, str]] = ()
) -> str:
    """Start a container in the background; return its address on the lab's network."""
    volumes = [word for source, target in mounts for word in ("--volume", f"{source}:{target}:ro")]
    # What systemd needs of a container, if that is the command; it needs no privilege.
    systemd = "always" if command[0] == SYSTEMD else "false"
    podman(
        "run", "--detach", "--pull=never", "--name", name, "--hostname", name, "--label", label, "--network", network,
        f"--systemd={systemd}", *_ulimits(), *volumes, image, *command,
    )  # fmt: skip
    address = podman("inspect", name, "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    if not address:
        raise CommandFailed(f"container {name} has no address on network {network}:\n{logs(name)}")
    return address


def serve(name: str, image: str, command: Sequence[str], *, mounts: Sequence[tuple[Path, str]]) -> None:
    """Start a container in the background that has the network and the processes of this machine."""
    volumes = [word for source, target in mounts for word in ("--volume", f"{source}:{target}")]
    podman(
        "run", "--detach", "--pull=never", "--name", name, "--network=host", "--pid=host", *_ulimits(), *volumes,
        image, *command,
    )  # fmt: skip


def running(name: str) -> bool:
    return podman("inspect", name, "--format", "{{.State.Running}}") == "true"


def logs(name: str) -> str:
    """What the container printed; services print to standard error, which podman keeps apart."""
    done = subprocess.run(
        ["podman", "logs", name], env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    return done.stdout


def remove(*, label: str, network: str) -> None:
    """Remove what carries the label, and the network; nothing else, and no complaint when it is gone already."""
    names = podman("ps", "--all", "--quiet", "--filter", f"label={label}").split()
    if names:
        podman("rm", "--force", "--time", "0", "--volumes", *names)
    if network in podman("network", "ls", "--quiet").split():
        podman("network", "rm", "--force", network)
