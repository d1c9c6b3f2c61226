"""A disk in memory for what tests write: their databases flush at each commit, and a disk is what they wait for."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

#: What the largest suite keeps at once is a fifth of it.
_NEEDED_BYTES = 8 << 30


def use(disk: Path = Path("/dev/shm")) -> None:  # noqa: S108 (a folder of our own is made in it)
    """Let temporary folders lie on a disk in memory, if this machine has one that is as good as its `/tmp`.

    A TMPDIR that is set stays.
    """
    if "TMPDIR" in os.environ or not _is_as_good(disk):
        return
    folder = disk / f"alembic-{os.geteuid()}"  # short: a socket's path has at most 107 characters
    folder.mkdir(mode=0o755, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        return
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None


def _is_as_good(disk: Path) -> bool:
    """Return whether a disk holds everything, runs programs, and keeps extended attributes (tmpfs since Linux 6.6)."""
    try:
        if shutil.disk_usage(disk).free < _NEEDED_BYTES or _available_bytes() < _NEEDED_BYTES:
            return False
        with tempfile.NamedTemporaryFile(dir=disk) as file:
            os.setxattr(file.name, "user.kept", b"yes")
        return not os.statvfs(disk).f_flag & os.ST_NOEXEC
    except OSError:
        return False


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0
