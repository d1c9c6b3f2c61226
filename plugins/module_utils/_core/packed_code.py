# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our own code on a host: one archive as it was sent, and beside it one for each Python, compiled.

Python keeps no compiled files of what it imports from an archive, so each process would compile all of it again.
"""

from __future__ import annotations

import hashlib
import io
import marshal
import os
import sys
import zipfile
from contextlib import suppress
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

from .paths import lock_file, write_bytes_durably

#: The file that is locked while an archive is written or removed.
LOCK = ".lock"

#: PEP 552: the hash is not compared with a source. The archive of a digest does not change.
_UNCHECKED_HASH = (1).to_bytes(4, "little")

#: At the end of a compiled archive, as its comment: the digest of what is before it. ``call.py`` compares it as well.
_SEAL = 64

#: Bytes that are read at once: whole, it would be a third of what this process needs in memory.
_PART = 1 << 16


def locate_compiled(archive: Path) -> Path:
    """Return where an archive's code is compiled for this Python; ``call.py`` has the same name."""
    return archive.with_name(f"{archive.stem}.{sys.implementation.cache_tag}-{sys.hexversion:x}.zip")


def compile_beside(archive: Path) -> bool:
    """Compile an archive's code for this Python, unless it was, and return whether that is there.

    Without it the next process is slower, and no more.
    """
    target = locate_compiled(archive)
    with suppress(OSError), lock_file(archive.with_name(LOCK)):
        if not is_intact(target):  # else it is never replaced: a process that uses it knows where in it things are
            write_bytes_durably(target, _compile_archive(archive))
        return True
    return False


def is_intact(compiled: Path) -> bool:
    """Return whether a compiled archive is there as it was written: Python would run what a disk has damaged."""
    digest = hashlib.sha256()
    try:
        with compiled.open("rb") as handle:
            left = os.fstat(handle.fileno()).st_size - _SEAL
            while left > 0 and (part := handle.read(min(left, _PART))):
                digest.update(part)
                left -= len(part)
            return left == 0 and handle.read() == digest.hexdigest().encode()
    except OSError:
        return False


def _compile_archive(archive: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(archive) as sources, zipfile.ZipFile(content, "w") as compiled:
        for name in sources.namelist():
            source = sources.read(name)
            try:
                code = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
            except (SyntaxError, ValueError):  # of a later Python; what imports it says so
                compiled.writestr(zipfile.ZipInfo(name), source)
                continue
            header = MAGIC_NUMBER + _UNCHECKED_HASH + source_hash(source)
            compiled.writestr(zipfile.ZipInfo(f"{name}c"), header + code)
        compiled.comment = b"0" * _SEAL
    whole = content.getvalue()[:-_SEAL]
    return whole + hashlib.sha256(whole).hexdigest().encode()
