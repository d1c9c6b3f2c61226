"""The keys of one lab: one for the user, one for its hosts, made fresh and gone with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .image import MOUNT, USER
from .shell import run

SSHD_CONFIG = f"""\
HostKey {MOUNT}/host_key
AuthorizedKeysFile {MOUNT}/authorized_keys
AllowUsers {USER}
PasswordAuthentication no
# PAM would need a login session manager, and a container has none.
UsePAM no
PrintMotd no
# Forks of ten connect at once, as does a benchmark.
MaxStartups 100
Subsystem sftp /usr/lib/openssh/sftp-server
"""


def make(folder: Path) -> None:
    """Write both key pairs and what sshd reads. ``folder/host`` is mounted into every host, the user's key is not."""
    host = folder / "host"
    host.mkdir(parents=True, exist_ok=True)
    # The folder of the lab may be closed to others, what sshd refuses to read after it dropped privileges may not.
    host.chmod(0o755)
    for path in (folder / "user_key", host / "host_key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hosting-alembic-lab", "-f", path])
    (host / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    (host / "sshd_config").write_text(SSHD_CONFIG)


def know(folder: Path, addresses: Iterable[str]) -> None:
    """Write known_hosts: the key is known beforehand, so checking it stays switched on."""
    kind, key = (folder / "host" / "host_key.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text("".join(f"{address} {kind} {key}\n" for address in addresses))


def ssh_arguments(folder: Path) -> str:
    return (
        f"-o UserKnownHostsFile={folder / 'known_hosts'} -o GlobalKnownHostsFile=/dev/null"
        " -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    )
