# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code that hosts work with, packed once for a run: the same bytes for the same files."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core import errors

from .._run import invocation

_FOLDER = Path(errors.__file__).parents[1]
_PACKAGE = errors.__name__.rpartition("._core.")[0]

#: The modules that are called with the digest of their code in place of the code.
CALLED_BY_CODE = frozenset(path.stem for path in (_FOLDER / "_answers").glob("[a-z]*.py"))


def with_code(module: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a module with the digest of its code, where it is called with that."""
    if module.rpartition(".")[2] not in CALLED_BY_CODE:
        return arguments
    own = {key: value for key, value in arguments.items() if key != "code_archive"}  # it is not for a task to name
    return {**own, "code_digest": pack_code()["digest"]}


def pack_code() -> dict[str, str]:
    """Return the ``archive`` on the controller and its ``digest``."""
    found: dict[str, str] = invocation.make_once("code", _pack)
    return found


def _pack() -> dict[str, str]:
    archive = invocation.locate_folder() / "code.zip"
    write_archive(archive)
    return {"archive": str(archive), "digest": hashlib.sha256(archive.read_bytes()).hexdigest()}


def write_archive(archive: Path) -> None:
    """Write the archive of all our code that runs on hosts."""
    root = _PACKAGE.replace(".", "/")
    paths = [path for path in _FOLDER.rglob("*.py") if path.stem.isidentifier() and path.is_file()]  # no editor's
    contents = {f"{root}/{path.relative_to(_FOLDER)}": path.read_bytes() for path in paths}
    for package in (Path(root), *Path(root).parents[:-1]):
        contents.setdefault(f"{package}/__init__.py", b"")
    beside = archive.with_name(f".{archive.name}.{os.getpid()}")
    with zipfile.ZipFile(beside, "w") as packing:
        for name, content in sorted(contents.items()):
            packing.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    beside.rename(archive)
