"""A lab: containers as hosts with addresses of their own, reached over SSH, and a database server among them."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import image, keys, podman
from .shell import CommandFailed, run

STATE = "lab.json"
# /run is empty in a new container.
SSHD = ["sh", "-c", f"mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e -f {image.MOUNT}/sshd_config"]
DATA = "/var/lib/postgresql/lab"
BIN = "/usr/lib/postgresql/15/bin"


@dataclass
class DatabaseServer:
    """A PostgreSQL server in a container, reached by address over the lab's network."""

    host: str
    # The same server by name, for hosts on the lab's network: two URLs may mean one database.
    name: str
    password: str
    port: int = 5432
    user: str = "postgres"

    def url(self, database: str = "postgres", user: str = "", password: str = "") -> str:
        user, password = user or self.user, password or self.password
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{database}"


@dataclass
class Lab:
    """Everything `up` started, by name; written down before it is started, so that `down` finds it in any case."""

    id: str
    folder: Path
    hosts: dict[str, str] = field(default_factory=dict)
    postgres: DatabaseServer | None = None

    @property
    def label(self) -> str:
        return f"hosting-alembic.lab={self.id}"

    @property
    def network(self) -> str:
        return f"hosting-alembic-{self.id}"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    def container(self, name: str) -> str:
        return f"{name}-{self.id}"

    def write(self) -> None:
        state = {**asdict(self), "folder": str(self.folder)}
        path = self.folder / STATE
        path.touch(mode=0o600)
        path.write_text(json.dumps(state, indent=2) + "\n")

    def execute(self, host: str, *words: str, user: str = "root", text: str | None = None) -> str:
        """Run a command on a host from outside, without SSH; to read it, or to break it."""
        flags = ["--interactive"] if text is not None else []
        return podman.podman("exec", *flags, "--user", user, self.container(host), *words, text=text)


def load(folder: Path) -> Lab | None:
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
    except FileNotFoundError:
        return None
    server = state.pop("postgres")
    return Lab(
        id=state["id"],
        folder=Path(state["folder"]),
        hosts=state["hosts"],
        postgres=DatabaseServer(**server) if server else None,
    )


def up(
    folder: Path,
    *,
    hosts: int = 1,
    postgres: bool = False,
    systemd: bool = False,
    prefix: str = "host",
    shown: Sequence[Path] = (),
) -> Lab:
    """Start a lab whose files live in ``folder``. What an earlier lab left there is taken down first.

    Its hosts see the folders in ``shown`` where this machine has them, and cannot write there.
    """
    folder = folder.resolve()
    down(folder)
    wanted = image.ensure()
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    lab = Lab(id=secrets.token_hex(4), folder=folder)
    lab.write()
    try:
        keys.make(folder / "ssh")
        podman.podman("network", "create", "--label", lab.label, lab.network)
        for number in range(1, hosts + 1):
            name = f"{prefix}{number}"
            lab.hosts[name] = _start_host(lab, name, wanted, [podman.SYSTEMD] if systemd else SSHD, shown)
        if postgres:
            lab.postgres = _start_postgres(lab, wanted)
        lab.write()
        keys.know(folder / "ssh", lab.hosts.values())
        lab.inventory.write_text(yaml.safe_dump(_inventory(lab), sort_keys=False))
        _wait_for_ssh(lab)
    except BaseException:
        down(folder)
        raise
    return lab


def unplug(folder: Path, name: str) -> None:
    """Take a host off the network: its connections hang, and what runs on it goes on."""
    lab = running_lab(folder)
    podman.podman("network", "disconnect", lab.network, lab.container(name))


def plug(folder: Path, name: str) -> None:
    """Put a host back on the network, at its address."""
    lab = running_lab(folder)
    podman.podman("network", "connect", "--ip", lab.hosts[name], lab.network, lab.container(name))


def running_lab(folder: Path) -> Lab:
    """Return the lab of a folder, which has to be up."""
    lab = load(folder.resolve())
    if lab is None:
        raise CommandFailed(f"there is no lab in {folder}")
    return lab


def down(folder: Path) -> None:
    """Remove exactly what `up` started for this folder, and the folder's files. Safe to repeat."""
    lab = load(folder)
    if lab is None:
        return
    podman.remove(label=lab.label, network=lab.network)
    shutil.rmtree(lab.folder / "ssh", ignore_errors=True)
    lab.inventory.unlink(missing_ok=True)
    # Last: as long as this file is there, another `down` can finish the job.
    (lab.folder / STATE).unlink()


def _start_host(lab: Lab, name: str, wanted: str, command: Sequence[str], shown: Sequence[Path]) -> str:
    mounts = [(lab.folder / "ssh" / "host", image.MOUNT), *((path, str(path)) for path in shown)]
    return podman.start(lab.container(name), wanted, command, label=lab.label, network=lab.network, mounts=mounts)


def _start_postgres(lab: Lab, wanted: str) -> DatabaseServer:
    """Start the server in UTF-8, with passwords required over the network, as hosting companies do."""
    script = (
        f"install -d -o postgres -g postgres -m 0700 {DATA} /run/postgresql && exec setpriv --reuid=postgres"
        " --regid=postgres --init-groups sh -c '"
        f"{BIN}/initdb --no-sync --encoding=UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 {DATA}"
        f' && echo "host all all all scram-sha-256" >> {DATA}/pg_hba.conf'
        f" && exec {BIN}/postgres -D {DATA} -c listen_addresses=*'"
    )
    address = podman.start(
        lab.container("postgres"), wanted, ["sh", "-c", script], label=lab.label, network=lab.network
    )
    server = DatabaseServer(host=address, name=lab.container("postgres"), password=secrets.token_urlsafe(12))
    _wait_for_postgres(lab)
    password = f"ALTER ROLE postgres PASSWORD '{server.password}'"
    lab.execute("postgres", "psql", "--quiet", user="postgres", text=password)
    return server


def _wait_for_postgres(lab: Lab, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            lab.execute("postgres", "pg_isready", "--quiet", user="postgres")
            return
        except CommandFailed:
            if time.monotonic() > deadline or not podman.running(lab.container("postgres")):
                log = podman.logs(lab.container("postgres"))
                raise CommandFailed(f"the database server did not start:\n{log}") from None
            time.sleep(0.2)


def _wait_for_ssh(lab: Lab, seconds: float = 30) -> None:
    folder = lab.folder / "ssh"
    for name, address in lab.hosts.items():
        deadline = time.monotonic() + seconds
        words = ["ssh", *keys.ssh_arguments(folder).split(), "-o", "BatchMode=yes", "-i", str(folder / "user_key")]
        while True:
            try:
                run([*words, f"{image.USER}@{address}", "sudo -n true"], timeout=10)
                break
            except CommandFailed as error:
                if time.monotonic() > deadline or not podman.running(lab.container(name)):
                    raise CommandFailed(
                        f"{name} does not answer over SSH: {error}\n{podman.logs(lab.container(name))}"
                    ) from None
                time.sleep(0.2)


def _inventory(lab: Lab) -> dict[str, Any]:
    folder = lab.folder / "ssh"
    variables: dict[str, Any] = {
        "ansible_user": image.USER,
        "ansible_ssh_private_key_file": str(folder / "user_key"),
        "ansible_ssh_common_args": keys.ssh_arguments(folder),
        "ansible_python_interpreter": "/usr/bin/python3",
        "lab_expected_hosts": list(lab.hosts),
    }
    if lab.postgres:
        variables["lab_postgres"] = asdict(lab.postgres)
    names = {name: {"ansible_host": address} for name, address in lab.hosts.items()}
    return {"hosting": {"hosts": names, "vars": variables}}
