"""The image of a test host: Debian 12 from Debian's own packages, so that no registry of images is needed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

from .lock_file import lock_file
from .podman import ENVIRONMENT, image_exists, podman
from .shell import CommandFailed

NAMED_IMAGE = "HOSTING_ALEMBIC_TEST_IMAGE"
USER = "deploy"
#: Where a host has its keys and its sshd_config.
MOUNT = "/etc/ssh/lab"

PACKAGES = [
    "python3",
    "python3-venv",
    "openssh-server",
    "sudo",
    "postgresql-client-15",  # pg_dump and pg_restore, as on a hosting server
    "postgresql-15",  # the database server of a lab runs in a container of the same image
    "mariadb-server",  # on each host where a scenario starts it, and its client programs
    "systemd-sysv",  # for hosts that are to have services of their own
    "dbus",
    "cron",
    "nginx-light",  # answers 503 while an application is stopped
    "curl",
    "procps",
    "iproute2",
]

# What sshd reads is mounted into the host.
_SSH_SERVICE = f"[Service]\\nExecStartPre=\\nExecStart=\\nExecStart=/usr/sbin/sshd -D -f {MOUNT}/sshd_config\\n"

# Each hook is a shell line; "$1" is the root of the new system.
BEFORE_PACKAGES = [
    # The Debian package would make a cluster in the encoding of the build; the lab makes its own in UTF-8.
    'mkdir -p "$1/etc/postgresql-common/createcluster.d"',
    'echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.d/lab.conf"',
]
AFTER_PACKAGES = [
    # "*" is a password that no user has; the "!" of a locked account would make sshd refuse the key as well.
    f"chroot \"$1\" useradd --create-home --shell /bin/bash --password '*' {USER}",
    f'echo "{USER} ALL=(ALL) NOPASSWD: ALL" > "$1/etc/sudoers.d/{USER}"',
    f'chmod 0440 "$1/etc/sudoers.d/{USER}"',
    'rm -f "$1"/etc/ssh/ssh_host_*_key*',
    'mkdir "$1/etc/systemd/system/ssh.service.d"',
    f"printf '{_SSH_SERVICE}' > \"$1/etc/systemd/system/ssh.service.d/lab.conf\"",
]
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]


def _command() -> list[str]:
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        "--quiet",
        "--include=" + ",".join(PACKAGES),
        *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
        *(f"--essential-hook={hook}" for hook in BEFORE_PACKAGES),
        *(f"--customize-hook={hook}" for hook in AFTER_PACKAGES),
        "bookworm",
        "-",
    ]


def name() -> str:
    """The image to start: the one named by the environment, else ours, named by the digest of its definition."""
    digest = hashlib.sha256(json.dumps(_command()).encode()).hexdigest()[:12]
    return os.environ.get(NAMED_IMAGE) or f"localhost/hosting-alembic-lab:{digest}"


def ensure() -> str:
    """Build the image unless podman has it; return its name."""
    with lock_file("image"):
        return _ensured(name())


def _ensured(wanted: str) -> str:
    if image_exists(wanted):
        return wanted
    if os.environ.get(NAMED_IMAGE):
        raise CommandFailed(f"podman has no image {wanted}, which {NAMED_IMAGE} names; import it first")
    print(f"building {wanted} from Debian's packages (about a minute, once)", file=sys.stderr, flush=True)
    _build(wanted)
    return wanted


def _build(wanted: str) -> None:
    with subprocess.Popen(_command(), stdout=subprocess.PIPE) as system:
        imported = subprocess.run(
            ["podman", "import", "--quiet", "-", wanted],
            stdin=system.stdout,
            env={**os.environ, **ENVIRONMENT},
            check=False,
        )
    if system.returncode != 0 or imported.returncode != 0:
        # Half a system can have been imported before the build failed.
        if image_exists(wanted):
            podman("rmi", wanted)
        raise CommandFailed(f"the image of the test hosts could not be built ({system.args!r})")
