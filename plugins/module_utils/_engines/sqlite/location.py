# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of a SQLite URL, and the check of links on the way there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..._core.errors import Refused

_MOST_LINKS = 40


def locate_file(database: str | None) -> str:
    """Return the path that a URL names, which may lead through links."""
    return (database or "").removeprefix("file:")


def locate_real_file(database: str | None, name: str) -> Path:
    """Return the real path: the lock and the log are beside the file itself, and it is the file that is replaced.

    Raises:
        Refused: the URL names no absolute file.
    """
    plain = locate_file(database)
    if not plain or plain == ":memory:" or not os.path.isabs(plain):
        raise Refused(
            f"The URL of database {name!r} names no absolute file",
            "a relative path would lie inside a release, and memory ends with the process",
            "Write four slashes: sqlite:////srv/app/app.db",
            code="url-invalid",
        )
    return Path(os.path.realpath(plain))


def check_links(path: str, name: str) -> None:
    """Follow only links of root, of ourselves, and of the owner of the file that they lead to.

    Another customer's link would have us read, and change, what he may not.

    Raises:
        Refused: a link is another session's.
    """
    links = _list_links(path)
    if not links:
        return
    target = os.path.realpath(path)
    try:
        owner = os.stat(target).st_uid
    except OSError:
        owner = -1  # there is nothing to be read or changed
    for link, link_owner in links:
        if link_owner not in (0, os.geteuid(), owner):
            raise Refused(
                f"Database {name!r} is behind a link of another user",
                f"{link} belongs to user id {link_owner}, and {target} to "
                + (f"user id {owner}" if owner >= 0 else "no user: it is not there"),
                "Name the file itself in the URL, or let root make the link",
                code="sqlite-link-foreign",
            )


def check_is_file(path: str, name: str) -> None:
    """Refuse a database, or what SQLite keeps beside it, that is a link, a pipe or a device: reading one may not end.

    Raises:
        Refused: one of them is not a regular file.
    """
    for suffix in ("", "-journal", "-wal", "-shm"):
        try:
            mode = os.lstat(f"{path}{suffix}").st_mode
        except OSError:
            continue
        if not stat.S_ISREG(mode):
            raise Refused(
                f"Database {name!r} cannot be opened",
                f"{path}{suffix} is not a regular file",
                f"Type `ls -l {path}{suffix}`, and remove it if SQLite did not make it",
                code="sqlite-file-not-regular",
            )


def _list_links(path: str) -> list[tuple[str, int]]:
    """Return every link on the way, with its owner."""
    found: list[tuple[str, int]] = []
    rest, here = path.split("/"), "/"
    while rest:
        part = rest.pop(0)
        following = os.path.normpath(os.path.join(here, part))
        try:
            status = os.lstat(following)
        except OSError:
            break
        if not stat.S_ISLNK(status.st_mode):
            here = following
            continue
        found.append((following, status.st_uid))
        if len(found) > _MOST_LINKS:
            raise Refused(
                f"{path} leads through more than {_MOST_LINKS} links",
                "",
                "Name the file itself in the URL",
                code="sqlite-link-foreign",
            )
        target = os.readlink(following)
        here = "/" if target.startswith("/") else here
        rest = target.split("/") + rest
    return found
