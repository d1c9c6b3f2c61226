# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The user that a customer's code runs as where root was given, and the folders that this user has to get through."""

from __future__ import annotations

import errno
import functools
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .access_list import GROUP, MASK, NO_ID, OTHERS, OWNER, USER, read_entries, set_entries
from .errors import Refused
from .paths import lock_folder

#: Requests from the kernel the present number, and changes nothing.
_PRESENT = 0xFFFFFFFF
_READ_AND_TRAVERSE = 5
_WITH_ROOTS_RIGHTS = "Set become: true for the host, or take migrate_run_as away"


@dataclass(frozen=True)
class User:
    """A user of this host, with all that a login would give it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @classmethod
    def of(cls, entry: pwd.struct_passwd) -> User:
        """Return the user of an entry of the password database."""
        groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)

    def as_facts(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> User:
        """Return the user of such data."""
        return cls(**{**facts, "groups": tuple(facts["groups"])})


def find_user(name: str) -> User:
    """Return the user of a name, or of a number.

    Raises:
        Refused: this host does not have it.
    """
    try:
        return User.of(pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name))
    except KeyError:
        raise Refused(
            f"The user {name!r} of migrate_run_as is not on this host",
            "the migrations would run as that user",
            "Name one that is there, or leave migrate_run_as empty for the owner of a SQLite file",
            code="run-as-unknown-user",
        ) from None


@functools.lru_cache(maxsize=64)
def read_user(uid: int) -> User:
    """Return the user of a number; one without a name has no groups but its own."""
    try:
        return User.of(pwd.getpwuid(uid))
    except KeyError:
        return User(str(uid), uid, uid, (uid,), "/")


def choose_user(name: str, run_as: str, owner: Callable[[], int | None]) -> User | None:
    """Return the user that has to do what concerns a database, or None if it stays the one of this process.

    Args:
        name: of the database.
        run_as: the user that was named, usually none.
        owner: returns whose files the database is.

    Raises:
        Refused: there is no user of that name, or only root could become it.
    """
    if not run_as:
        uid = owner() if os.geteuid() == 0 else None
        return read_user(uid) if uid else None
    return choose_user_to_become(run_as, f"The migrations of database {name!r}")


def choose_user_to_become(run_as: str, what: str) -> User | None:
    """Return the user that was named, or None if that is the one of this process.

    Args:
        run_as: the user.
        what: what it is for, for the message.

    Raises:
        Refused: there is no user of that name, or only root could become it.
    """
    user = find_user(run_as)
    if user.uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise Refused(
            f"{what} cannot run as {run_as!r}",
            "only root becomes another user",
            "Set ansible_become, or leave migrate_run_as empty",
            code="run-as-not-possible",
        )
    return user


@contextmanager
def act_as(user: User | None) -> Iterator[None]:
    """Open files with no more rights than a user has, in this thread and inside of the block.

    It can be undone, so this is not for code of others.

    Raises:
        Refused: the kernel did not do it.
    """
    if user is None or os.geteuid() != 0:
        yield
        return
    library = _load_library()
    groups = os.getgroups()
    os.setgroups(user.groups)
    gid, uid = library.setfsgid(user.gid), library.setfsuid(user.uid)
    try:
        if (library.setfsuid(_PRESENT), library.setfsgid(_PRESENT)) != (user.uid, user.gid):
            raise Refused(
                f"The files of the user {user.name!r} cannot be opened with its rights",
                remedy=_WITH_ROOTS_RIGHTS,
                code="run-as-not-possible",
            )
        yield
    finally:
        library.setfsuid(uid)
        library.setfsgid(gid)
        os.setgroups(groups)


def act_as_ourselves() -> AbstractContextManager[None]:
    """Open files with our own rights again, inside of a block of ``act_as``."""
    is_acting = os.geteuid() == 0 and _load_library().setfsuid(_PRESENT) != 0
    return act_as(read_user(0)) if is_acting else nullcontext()


@functools.lru_cache(maxsize=1)
def _load_library() -> Any:
    import ctypes  # noqa: PLC0415 - only root needs it

    library = ctypes.CDLL(None)
    library.setfsuid.argtypes = library.setfsgid.argtypes = [ctypes.c_uint]
    library.setfsuid.restype = library.setfsgid.restype = ctypes.c_uint
    return library


def become_user(user: User) -> None:
    """Be another user from now on; it cannot become root again."""
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if os.getresuid() != (user.uid,) * 3 or os.getresgid() != (user.gid,) * 3:
        raise Refused(
            f"The process could not become the user {user.name!r}",
            remedy=_WITH_ROOTS_RIGHTS,
            code="run-as-not-possible",
        )
    os.environ.update(HOME=user.home, USER=user.name, LOGNAME=user.name)
    for name in [name for name in os.environ if name.startswith("SUDO_")]:
        del os.environ[name]


def admit(user: User, folder: Path, *below: Path) -> None:
    """Let a user into folders of root's that others are kept out of, by name and to read only.

    Args:
        user: who has to come through.
        folder: may be traversed by all users from now on, but not listed.
        below: folders in it, the outermost first; the last one may be listed by this user, and by no others.
    """
    for path in (folder, *below[:-1]):
        _allow_traversal(path)
    if below and not _is_open(below[-1], user):
        _add_to_list(below[-1], user.uid)


def _allow_traversal(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if not mode & stat.S_IXOTH:
            os.fchmod(descriptor, mode | stat.S_IXGRP | stat.S_IXOTH)
    finally:
        os.close(descriptor)


def _is_open(path: Path, user: User) -> bool:
    found = os.stat(path, follow_symlinks=False)
    return found.st_uid == user.uid or found.st_mode & 0o005 == _READ_AND_TRAVERSE


def _add_to_list(path: Path, uid: int) -> None:
    """Add a user to the access control list of a folder.

    Raises:
        Refused: its file system has none.
    """
    try:
        with lock_folder(path) as descriptor:
            _let_in(descriptor, uid)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL):
            raise
        raise Refused(
            f"User {uid} cannot be let into {path}",
            f"its file system takes no access control lists ({error.strerror})",
            f"Type `chmod o+rx {path}` if all users on the host may read the release, or set migrate_run_as to root",
            code="run-as-not-possible",
        ) from error


def _let_in(descriptor: int, uid: int) -> None:
    mode = os.fstat(descriptor).st_mode
    known = read_entries(descriptor)
    # What a default list of the folder above has named is kept out by the mask until now, and stays out.
    limit = next((rights for tag, rights, _number in known if tag == MASK), 7)
    users = {number: rights & limit for tag, rights, number in known if tag == USER}
    if users.get(uid) == _READ_AND_TRAVERSE:
        return
    users[uid] = _READ_AND_TRAVERSE
    group = next((rights & limit for tag, rights, _number in known if tag == GROUP), mode >> 3 & 7)
    named = [(USER, rights, number) for number, rights in sorted(users.items())]
    rest = [(GROUP, group, NO_ID), (MASK, _READ_AND_TRAVERSE, NO_ID), (OTHERS, mode & 7, NO_ID)]
    set_entries(descriptor, [(OWNER, mode >> 6 & 7, NO_ID), *named, *rest])
