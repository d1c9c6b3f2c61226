# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQLite files of a pattern. The folders may be customers': no link of theirs is followed, nothing is opened."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase

from .._core.errors import Refused
from .source import Source

#: Databases of one source.
MOST = 10_000
#: Names that are read in folders until it is given up.
_MOST_READ = 2_000_000

_IS_PATTERN = re.compile(r"[*?\[]")
#: What SQLite puts beside a database.
_BESIDE = ("-wal", "-shm", "-journal")


class _Budget:
    """The limits of a search."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.deadline = time.monotonic() + source.timeout
        self.read = 0

    def spend(self) -> None:
        self.read += 1
        if self.read > _MOST_READ or time.monotonic() > self.deadline:
            raise Refused(
                f"The files of source {self.source.name!r} could not be listed",
                f"{self.read:,} names had been read in {self.source.timeout:g} s without an end",
                "Give patterns with fewer folders, or raise its timeout",
                code="discovery-failed",
            )


def find_files(source: Source) -> list[dict[str, str]]:
    """Return a row for each file: its path, its name, that without the ending, and the name of its folder.

    Raises:
        Refused: a folder that is named without a pattern cannot be read, or it takes too long.
    """
    budget = _Budget(source)
    found = {path for pattern in source.files for path in _list_matching(pattern, budget)}
    return [_build_row(path) for path in sorted(found)]


def _build_row(path: str) -> dict[str, str]:
    """Return the row of a file. A ``Path`` of each of thousands would keep each of its parts in memory."""
    folder, _slash, name = path.rpartition("/")
    dot = name.rfind(".")
    # As in ``Path.stem``, a name that begins or ends with its only dot has no ending.
    stem = name[:dot] if 0 < dot < len(name) - 1 else name
    return {"path": path, "name": name, "stem": stem, "folder": folder.rpartition("/")[2]}


def _list_matching(pattern: str, budget: _Budget) -> Iterator[str]:
    parts = [part for part in pattern.split("/") if part]
    fixed = 0
    while fixed < len(parts) - 1 and not _IS_PATTERN.search(parts[fixed]):
        fixed += 1
    top = "/" + "/".join(parts[:fixed])
    try:
        # A mistyped folder, or one that is not mounted, must not look like one without databases.
        os.scandir(top).close()
    except OSError as error:
        raise Refused(
            f"The files of source {budget.source.name!r} could not be listed",
            f"{top}: {error.strerror}",
            "Correct the pattern, or mount the folder",
            code="discovery-failed",
        ) from error
    yield from _walk_below(top, parts[fixed:], budget)


def _walk_below(folder: str, parts: list[str], budget: _Budget) -> Iterator[str]:
    try:
        entries = os.scandir(folder)
    except OSError:  # a customer's folder that is gone, or closed to us
        return
    with entries:
        for entry in entries:
            budget.spend()
            # As in a shell, a pattern matches no hidden name unless it begins with a dot.
            hidden = entry.name.startswith(".") and not parts[0].startswith(".")
            if hidden or not fnmatchcase(entry.name, parts[0]):
                continue
            if len(parts) > 1:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk_below(entry.path, parts[1:], budget)
            elif not entry.name.endswith(_BESIDE) and stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                yield entry.path
