# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a directory that count, and their digest: the same on the controller and on a host."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .._core.errors import Refused
from .exclusions import Exclusions

#: What env.py or Alembic would read if it appeared in a release, beside what was shipped.
_READ = (".py", ".so", ".pth", ".ini", ".toml", ".cfg")
#: What the build of a package leaves beside its source.
_BUILT = ("build", "dist")


def list_files(folder: Path, exclude: Sequence[str] = ()) -> Iterator[Path]:
    """Yield every file and link below a folder that is shipped, in a fixed order.

    Args:
        folder: the source.
        exclude: patterns of what is left out besides.

    Raises:
        Refused: a link leads out of the folder, or something is neither a file nor a folder nor a link.
    """
    exclusions = Exclusions(exclude)
    for path in _walk_folder(folder, exclusions):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            _check_link(path, folder)
        elif not stat.S_ISREG(mode):
            raise Refused(
                f"{path} cannot be shipped",
                f"it is {_KINDS.get(stat.S_IFMT(mode), 'a special file')}",
                f"Remove it, or leave it out: migrate_exclude: [{path.name}]",
                code="source-not-shippable",
            )
        yield path


_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _walk_folder(folder: Path, exclusions: Exclusions | None) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        if exclusions:
            folders[:] = [name for name in folders if not exclusions.hold(Path(here, name), folder, is_folder=True)]
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        for name in sorted(names + links):
            path = Path(here, name)
            if name in links or exclusions is None or not exclusions.hold(path, folder, is_folder=False):
                yield path


def hash_shipped(folder: Path, exclude: Sequence[str] = ()) -> str:
    """Return the SHA-256 of the paths, contents and executable bits of what is shipped of a folder.

    Raises:
        Refused: as ``list_files``.
    """
    return _hash_paths(folder, list_files(folder, exclude))


def hash_all(folder: Path) -> tuple[str, list[str]]:
    """Return the digest of everything below a folder, and the names that it is of: of a release as it arrived."""
    paths = list(_walk_folder(folder, None))
    return _hash_paths(folder, paths), [str(path.relative_to(folder)) for path in paths]


def is_as_shipped(folder: Path, content: str, names: Sequence[str] | None) -> bool:
    """Return whether the files of a release are those that were shipped; what env.py writes beside them may be there.

    Args:
        folder: the source of the release.
        content: its digest when it was shipped.
        names: the files that were shipped, None where that was not written down.
    """
    try:
        if names is None:
            return hash_shipped(folder) == content
        known = set(names)
        for path in _walk_folder(folder, Exclusions()):
            name = path.relative_to(folder)
            if str(name) not in known and path.suffix in _READ and not set(_BUILT) & set(name.parts):
                return False
        return _hash_paths(folder, [folder / name for name in names]) == content
    except (OSError, Refused):
        return False


def _hash_paths(folder: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
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
            _describe_remedy(path, folder),
            code="source-leads-out",
        )


def _describe_remedy(path: Path, folder: Path) -> str:
    """Return what to do about a link: a copy of an interpreter would not make a virtualenv work on the hosts."""
    place = path.parent.parent
    if path.parent.name == "bin" and path.name.startswith("python") and folder in place.parents:
        return f"It belongs to a virtualenv, so leave that out: migrate_exclude: [{place.relative_to(folder)}/]"
    return f"Replace it by what it points to, or leave it out: migrate_exclude: [{path.name}]"
