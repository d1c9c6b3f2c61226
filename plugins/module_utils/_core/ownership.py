# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The owner of a path: no other user may change what we execute or rely on.

Each folder from the root of the file system down has to belong to us or to root and to be closed to others. Below such
a chain nothing can be exchanged between this check and its use.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from .access_list import GROUP, MASK, NAMED_GROUP, OF_FILE, OF_FOLDER, OTHERS, USER, read_entries
from .errors import Refused

_MOST_LINKS = 40
_WRITE = 2


def refuse_if_not_ours(path: Path, variable: str) -> None:
    """Refuse a path that another user could exchange or write to; what is not there yet is not read.

    Args:
        path: an absolute path of a folder or a file.
        variable: what names it, for the message.

    Raises:
        Refused: it, or a folder above it, is another user's or open to others, or a file is above it.
    """
    try:
        problem = find_problem(path)
    except OSError as error:
        raise Refused(
            f"{variable} {path} cannot be used",
            f"{error.filename or path}: {error.strerror}",
            f"Type `ls -ld {error.filename or path}`; remove what is not a folder, or set {variable} to another place",
            code="directory-not-usable",
        ) from error
    if problem:
        raise Refused(
            f"{variable} {path} cannot be used",
            problem,
            "What lies there would be executed and relied on: give it and the folders above it to"
            f" {_name_user(os.geteuid())} or root, close them to others (chmod go-w), or set {variable} to"
            " another place",
            code="path-not-private",
        )


def refuse_if_root_is_not_ours(root: Path) -> None:
    """Refuse a ``migrate_root`` that another user may write to, or in which a folder is another user's.

    Raises:
        Refused: it is one, or it would be another folder from each place where a module is started.
    """
    if not root.is_absolute():
        raise Refused(
            f"migrate_root {str(root)!r} is not an absolute path",
            "it would be below whichever folder the module is started in",
            "Write it from / on",
            code="root-relative",
        )
    refuse_if_not_ours(root, "migrate_root")
    if root.is_dir() and os.access(root, os.R_OK | os.X_OK):
        for path in sorted(root.iterdir()):
            refuse_if_not_ours(path, "migrate_root")


def find_problem(path: Path) -> str:
    """Return who else could change what is at a path, or nothing."""
    waiting = list(reversed(Path(os.path.abspath(path)).parts[1:]))
    here, links = Path("/"), 0
    while waiting:
        problem = _find_problem_of_folder(here)
        if problem:
            return problem
        name = waiting.pop()
        if name == "..":
            here = here.parent
            continue
        here = here / name
        try:
            found = os.lstat(here)
        except FileNotFoundError:
            return ""  # it is made in a folder that was just found to be ours
        if found.st_uid not in (0, os.geteuid()):
            return f"{here} belongs to {_name_user(found.st_uid)}"
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                return f"{here} is a link that leads to itself"
            target = Path(os.readlink(here))
            here = Path("/") if target.is_absolute() else here.parent
            waiting += reversed([part for part in target.parts if part != "/"])
    return _find_problem_of_folder(here) or _find_problem_of_new_files(here)


def _find_problem_of_new_files(path: Path) -> str:
    """Return who else could write to what is made in a folder from now on."""
    writers = _list_writers_by_list(path, OF_FOLDER) if path.is_dir() else ()
    return next((f"{name} may write to all that is made in {path} (getfacl -d)" for name in writers), "")


def _find_problem_of_folder(path: Path) -> str:
    found = os.stat(path, follow_symlinks=False)
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to {_name_user(found.st_uid)}"
    sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if sticky:  # whatever of ours lies in it, no other user can exchange; whose it is, the next step reads
        return ""
    if found.st_mode & stat.S_IWOTH:
        return f"all users may write to {path}"
    if found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid):
        return f"the group {_group_of(found.st_gid)} may write to {path}"
    return next((f"{name} may write to {path} by its access control list" for name in _list_writers_by_list(path)), "")


def _list_writers_by_list(path: Path, which: str = OF_FILE) -> Iterator[str]:
    """Yield the users and groups that an access control list names, and that may write without being ours."""
    entries = read_entries(path, which)
    mask = next((rights for tag, rights, _number in entries if tag == MASK), _WRITE)
    for tag, rights, number in entries:
        # The mask limits all but the owner and all other users.
        if not (rights if tag == OTHERS else rights & mask) & _WRITE:
            continue
        if tag == USER and number not in (0, os.geteuid()):
            yield _name_user(number)
        elif tag == NAMED_GROUP and not _is_own_group(number):
            yield f"the group {_group_of(number)}"
        elif tag == GROUP and which == OF_FOLDER and not _is_own_group(_group_of_what_is_made_in(path)):
            yield f"the group {_group_of(_group_of_what_is_made_in(path))}"
        elif tag == OTHERS:
            yield "all users"


def _group_of_what_is_made_in(path: Path) -> int:
    """Return the group that a file of ours gets in a folder."""
    found = os.stat(path, follow_symlinks=False)
    return found.st_gid if found.st_mode & stat.S_ISGID else os.getegid()


def _is_own_group(gid: int) -> bool:
    """Return whether a group is one that root or a user of ours has for itself alone."""
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return gid == 0
    if gid == 0:
        return set(group.gr_mem) <= {"root", user.pw_name}
    return gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _name_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"


def _group_of(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
