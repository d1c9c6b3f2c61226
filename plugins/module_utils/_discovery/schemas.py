# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schemas of databases, where each is the database of a tenant."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from .._core.errors import Failed, Refused
from .._engines.select_rows import list_schemas
from .command import LARGEST
from .files import MOST
from .source import Source
from .template import Unfit, Unreadable, build_entry, read_used_values

#: What of a template says where the database is; the same for all its schemas.
_OF_DATABASE = ("url", "direct_url", "password")
_SHORTEST = 0.1


def read_rows_of_schemas(source: Source, rows: Iterable[dict[str, Any]] | None, folder: str) -> list[dict[str, Any]]:
    """Return a row for each schema of each database: that of the database, with the schema's name.

    Args:
        source: names the patterns.
        rows: of the databases, or None where the source names the one database itself.
        folder: of the client programs; empty for the newest.

    Raises:
        Failed: the one database of the source cannot be read. One of several gets a row whose schema is ``Unreadable``.
    """
    ends = time.monotonic() + source.timeout
    found: list[dict[str, Any]] = []
    for row, place in _list_databases(source, rows):
        if place is None:
            found.append(row)
            continue
        url, password = place
        seconds = max(ends - time.monotonic(), _SHORTEST)
        try:
            names = list_schemas(url, password, folder=folder, seconds=seconds, most=MOST + 1, largest=LARGEST)
        except (Failed, Refused) as failure:
            if rows is None:
                raise
            found.append({**row, "schema": Unreadable(f"{failure.what}: {failure.why}")})
            continue
        found += [{**row, "schema": name} for name in names if any(fnmatchcase(name, each) for each in source.schemas)]
    return found


def _list_databases(
    source: Source, rows: Iterable[dict[str, Any]] | None
) -> Iterator[tuple[dict[str, Any], tuple[str, str | None] | None]]:
    """Yield each database with its URL and password; none where its row cannot be used, which is reported later."""
    if rows is None:
        yield {}, (source.url, source.password)
        return
    template = {key: source.template[key] for key in _OF_DATABASE if source.template.get(key)}
    for row in rows:
        try:
            entry = build_entry(template, read_used_values(template, row))
        except Unfit:
            yield row, None
            continue
        yield row, (str(entry.get("direct_url") or entry["url"]), entry.get("password"))
