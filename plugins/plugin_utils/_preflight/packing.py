# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packing a migrations directory on the controller: the same bytes for the same content, on any machine."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._release.digest import hash_shipped, list_files
from ansible_collections.hosting.alembic.plugins.module_utils._release.source import Source

from .._run import invocation
from .requirements import install_the_source, read_requirements


def pack_once(run_id: str, source: Path, **options: Any) -> dict[str, Any]:
    """Pack a source once for all hosts of a run, and return what ``pack`` returned to the first of them.

    Raises:
        Refused: as ``pack``.
    """
    key = hashlib.sha256(json.dumps([run_id, str(source), sorted(options.items())]).encode()).hexdigest()
    packed: dict[str, Any] = invocation.make_once(f"packed-{key}", lambda: pack(source, **options))
    return packed


def pack(
    source: Path,
    requirements: str,
    packages: list[str],
    wheelhouse: str,
    exclude: Sequence[str] = (),
    **installed: Any,
) -> dict[str, Any]:
    """Pack a source and its wheels, and return what the release module needs.

    Args:
        source: the migrations directory.
        requirements: a file below it, used if it is there.
        packages: requirement specifiers.
        wheelhouse: a directory of wheels, or empty.
        exclude: patterns of what is not shipped.
        installed: what else decides what is installed.

    Raises:
        Refused: the source is not a migrations directory, or a link or a requirement leads out of it.
    """
    Source(source).check()
    content = hash_shipped(source, exclude)
    wheels = _hash_wheels(Path(wheelhouse)) if wheelhouse else ""
    there = os.path.lexists(source / requirements) or ".." in Path(requirements).parts
    text = read_requirements(source, requirements, exclude) if there else ""
    from_source = install_the_source(source, text, packages, installed.get("pip_arguments", []))
    wants = [content, text, packages, wheels, sorted(installed.items())]
    release = hashlib.sha256(json.dumps(wants).encode()).hexdigest()
    archive = invocation.locate_folder() / f"{content}.tar.gz"
    wheel_archive = invocation.locate_folder() / f"{wheels}.tar"
    if not archive.exists():
        _write(archive, source, list_files(source, exclude), compress=True)
    if wheels and not wheel_archive.exists():
        _write(wheel_archive, Path(wheelhouse), _list_wheels(Path(wheelhouse)), compress=False)
    return {
        "release": release,
        "archive": str(archive),
        "wheelhouse_archive": str(wheel_archive) if wheels else "",
        "installation": {
            "release": release,
            "content": content,
            "requirements": text,
            "requirements_file": requirements,
            "packages": packages,
            "wheelhouse": wheels,
            "from_source": from_source,
            **installed,
        },
    }


def _list_wheels(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _hash_wheels(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in _list_wheels(folder):
        digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()


def _write(archive: Path, folder: Path, paths: Iterable[Path], compress: bool) -> None:
    beside = archive.with_name(f".{archive.name}.{os.getpid()}")
    with beside.open("wb") as raw:
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) if compress else raw
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in paths:
                _add(tar, path, str(path.relative_to(folder)))
        if compress:
            packed.close()
    os.rename(beside, archive)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    member = tar.gettarinfo(str(path), name)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    if member.isfile():
        member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
        with path.open("rb") as content:
            tar.addfile(member, content)
    else:
        tar.addfile(member)
