# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The passwords in database URLs, found where SQLAlchemy finds them, without its import."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

from .job import Database

# A password may hold anything but an @, as in sqlalchemy.engine.make_url; libpq takes one as an option, too.
_IN_ITS_PLACE = re.compile(r"[\w+]+://[^:/]*:([^@]*)@")
_AS_OPTION = re.compile(r"[?&]password=([^&#]*)")


def list_passwords(url: str) -> list[tuple[str, str]]:
    """Return each password of a URL, as it is there and as it is meant; the last one counts."""
    in_its_place = _IN_ITS_PLACE.match(url)
    found = [(in_its_place[1], unquote(in_its_place[1]))] if in_its_place else []
    return found + [(password, unquote_plus(password)) for password in _AS_OPTION.findall(url)]


def find_backend(url: str) -> str:
    """Return which kind of database a URL leads to: both names of one, old and new, mean the same."""
    scheme = url.partition(":")[0].partition("+")[0]
    return {"postgres": "postgresql", "mysql": "mariadb"}.get(scheme, scheme)


def can_be_pooled(url: str) -> bool:
    """Return whether PgBouncer can serve the database of a URL."""
    return find_backend(url) == "postgresql"


def find_password(database: Database) -> str | None:
    """Return the password that a database is opened with, or None where its driver has to find one."""
    if database.password is not None:
        return database.password
    found = list_passwords(database.direct_url or database.url)
    return found[-1][1] if found else None
