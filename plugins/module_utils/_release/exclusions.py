# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a project folder that are not shipped: those of one machine, databases, and what the user names."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .._core.errors import Refused

#: Caches and tools' folders: they differ from machine to machine and mean nothing to a migration.
_FOLDERS = {
    "__pycache__",
    ".eggs",
    ".git",
    ".hg",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "node_modules",
}
_BYTECODE = (".pyc", ".pyo")
_GENERATED = ".egg-info"
#: Every virtualenv has the first, and every environment of conda the second, whatever its folder is called.
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta/history")
#: A worktree and a submodule have a file by this name, which says where their repository is on this machine.
_REPOSITORY = ".git"

_SQLITE = b"SQLite format 3\0"
#: Rollback journals and both byte orders of write-ahead logs; a -shm and an empty one are known by their database.
_BESIDE_SQLITE = (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_SUFFIXES = ("-wal", "-shm", "-journal")
#: What SQLite has opened and not written yet is empty.
_NAMES_OF_EMPTY = (".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True)
class Exclusions:
    """Patterns as in a .gitignore, over what is left out without any: the last one that matches decides."""

    patterns: Sequence[str] = ()

    def hold(self, path: Path, folder: Path, *, is_folder: bool) -> bool:
        """Return whether a file or a folder below ``folder`` is left out."""
        name = path.relative_to(folder).as_posix()
        held = _is_one_machines(path) if is_folder else _is_data(path)
        for pattern in self.patterns:
            wanted = pattern.removeprefix("!")
            if _build_regex(wanted).fullmatch(name) and (is_folder or not wanted.endswith("/")):
                held = not pattern.startswith("!")
        return held


def _is_one_machines(folder: Path) -> bool:
    return (
        folder.name in _FOLDERS
        or folder.name.endswith(_GENERATED)
        or (not folder.is_symlink() and any((folder / name).is_file() for name in _ENVIRONMENTS))
    )


def _is_data(path: Path) -> bool:
    return path.suffix in _BYTECODE or path.name == _REPOSITORY or is_sqlite(path)


def is_sqlite(path: Path) -> bool:
    """Return whether a file is a SQLite database or what SQLite keeps beside one; recognised by its content."""
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode):
            return False
        start = _start_of(path)
    except OSError:
        return False
    if start == _SQLITE or (not start and path.suffix in _NAMES_OF_EMPTY):
        return True
    for suffix in _SUFFIXES:
        if path.name.endswith(suffix):
            database = path.with_name(path.name[: -len(suffix)])
            return start.startswith(_BESIDE_SQLITE) or is_sqlite(database)
    return False


def _start_of(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, len(_SQLITE))
    finally:
        os.close(descriptor)


def _build_regex(pattern: str) -> re.Pattern[str]:
    """Return what a pattern matches: a slash at its beginning or in its middle binds it to the folder itself.

    Raises:
        Refused: it is not a pattern.
    """
    words = pattern.rstrip("/")
    bound = "/" in words
    text = "" if bound else "(?:.*/)?"
    rest = words.lstrip("/")
    while rest:
        part = _PART.match(rest)[0]  # type: ignore[index]  # it matches any text but none
        rest = rest[len(part) :]
        if part == "**/":
            text += "(?:.*/)?"
        elif part == "/**":
            text += "/.*"
        elif part == "**":
            text += ".*"
        elif part == "*":
            text += "[^/]*"
        elif part == "?":
            text += "[^/]"
        elif part.startswith("[") and len(part) > 1:
            text += "[" + part[1:-1].replace("\\", r"\\").replace("!", "^", 1 if part[1] == "!" else 0) + "]"
        else:
            text += re.escape(part.removeprefix("\\") or part)
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise Refused(
            f"The pattern {pattern!r} of migrate_exclude is not one of a .gitignore",
            str(error),
            "Correct it; a backslash before a bracket takes it as it is",
            code="exclude-invalid",
        ) from error


_PART = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[!?\]?[^\]/]*\]|\\.|[^*?\[\\/]+|.", re.DOTALL)
