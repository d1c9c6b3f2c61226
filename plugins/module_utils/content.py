# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of a directory count, and the digest of them: the same on the controller and on a host."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import Refused

#: Caches, bytecode and tools' folders: they differ from machine to machine and mean nothing to a migration.
_LEFT_OUT = {
    "__pycache__",
    ".git",
    ".hg",
    ".svn",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
    ".venv",
    "node_modules",
}
_BYTECODE = (".pyc", ".pyo")


def files_of(folder: Path) -> Iterator[Path]:
    """Yield every file and link below a folder that counts, in a fixed order.

    Raises:
        Refused: a link leads out of the folder.
    """
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        for name in sorted(names + links):
            path = Path(here, name)
            if path.suffix in _BYTECODE:
                continue
            if path.is_symlink():
                _check_link(path, folder)
            yield path


def digest_of(folder: Path) -> str:
    """Return the SHA-256 of a folder's paths, contents and executable bits.

    Raises:
        Refused: as ``files_of``.
    """
    digest = hashlib.sha256()
    for path in files_of(folder):
        if path.is_symlink():
            kind, content = "link", os.readlink(path).encode()
        else:
            kind, content = ("program" if os.access(path, os.X_OK) else "file"), path.read_bytes()
        digest.update(f"{kind} {path.relative_to(folder)}\0{len(content)}\0".encode(errors="surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


def _check_link(path: Path, folder: Path) -> None:
    target = os.readlink(path)
    inside = os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)
    if os.path.isabs(target) or not inside:
        raise Refused(
            f"The link {path} leads out of {folder}",
            f"it points to {target}, which would not be there on the hosts",
            "Replace it by what it points to",
        )
