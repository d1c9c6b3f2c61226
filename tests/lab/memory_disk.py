"""A disk in memory for what tests write: their databases flush at each commit, and a disk is what they wait for."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_DISK = Path("/dev/shm")  # noqa: S108 (it is as a /tmp is)
#: What the largest suite keeps at once is less than half of it.
_NEEDED_BYTES = 8 << 30


def use() -> None:
    """Let temporary folders lie on a disk in memory, if this machine has one that is as good as its `/tmp`.

    A TMPDIR that is set stays.
    """
    if "TMPDIR" not in os.environ and _is_as_good():
        os.environ["TMPDIR"] = str(_DISK)
        tempfile.tempdir = None


def _is_as_good() -> bool:
    """Return whether it holds everything, runs programs, and keeps extended attributes (tmpfs since Linux 6.6)."""
    try:
        if shutil.disk_usage(_DISK).free < _NEEDED_BYTES or _available_bytes() < _NEEDED_BYTES:
            return False
        with tempfile.NamedTemporaryFile(dir=_DISK) as file:
            os.setxattr(file.name, "user.kept", b"yes")
        return not os.statvfs(_DISK).f_flag & os.ST_NOEXEC
    except OSError:
        return False


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0
