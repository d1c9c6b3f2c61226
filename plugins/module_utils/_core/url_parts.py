# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of a database URL, found where SQLAlchemy finds them, without its import."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

#: As sqlalchemy.engine.url has it, in 1.4 as in 2.1.
_URL = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<username>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?)?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)


def split_url(url: str) -> dict[str, str]:
    """Return the parts of a URL that it has, as they are written; nothing of what is none."""
    return {name: url[start:end] for name, (start, end) in find_spans(url).items()}


def find_spans(url: str) -> dict[str, tuple[int, int]]:
    """Return where the parts of a URL are in it."""
    match = _URL.fullmatch(url)
    return {name: match.span(name) for name, part in match.groupdict().items() if part is not None} if match else {}


@dataclass(frozen=True)
class PlainURL:
    """The parts of a URL that name its database, under the names of SQLAlchemy's URL."""

    username: str | None
    password: str | None
    host: str | None
    port: int | None
    database: str | None
    #: An option that is given several times has all of its values.
    query: dict[str, Any]


def parse_plain_url(url: str) -> PlainURL:
    """Return the parts of a URL as they are meant."""
    parts = split_url(url)
    options = parse_qs(parts.get("query", ""), keep_blank_values=True)
    port, meant = parts.get("port", ""), {name: unquote(part) for name, part in parts.items()}
    return PlainURL(
        meant.get("username"),
        meant.get("password"),
        parts.get("host") or parts.get("ipv6"),
        int(port) if port.isdigit() else None,
        meant.get("database"),
        {name: tuple(values) if len(values) > 1 else values[0] for name, values in options.items()},
    )
