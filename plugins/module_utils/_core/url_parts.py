# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of a database URL, found where SQLAlchemy finds them, without its import."""

from __future__ import annotations

import re

#: As sqlalchemy.engine.url has it, in 1.4 as in 2.1.
_URL = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<username>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?)?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)


def parts_of(url: str) -> dict[str, str]:
    """Return the parts of a URL that it has, as they are written; nothing of what is none."""
    match = _URL.fullmatch(url)
    return {name: part for name, part in match.groupdict().items() if part is not None} if match else {}


def spans_of(url: str) -> dict[str, tuple[int, int]]:
    """Return where the parts of a URL are in it."""
    match = _URL.fullmatch(url)
    return {name: match.span(name) for name, part in match.groupdict().items() if part is not None} if match else {}
