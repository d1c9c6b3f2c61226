# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``{url}`` in ``environment`` and ``x_arguments``: the URL that env.py is to use, a copy's in a rehearsal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._core.errors import Refused
from .._core.urls import find_backend
from .._engines.migration_url import find_port
from .._engines.sqlalchemy_import import sa

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from .._core.job import Database

_PLACEHOLDER = re.compile(r"\{url(?:\.(drivername|username|password|host|port|database))?\}")


def fill_url(text: str, url: str) -> str:
    """Return a text with the URL, or a part of it, in the place of each placeholder."""
    if not _PLACEHOLDER.search(text):
        return text
    parts = sa.engine.make_url(url)

    def replace_placeholder(match: re.Match[str]) -> str:
        found = getattr(parts, match[1]) if match[1] else url
        return "" if found is None else str(found)

    return _PLACEHOLDER.sub(replace_placeholder, text)


def build_variables(database: Database, url: str) -> dict[str, str]:
    """Return the environment variables of an entry, with a URL in the place of placeholders and in url_variables."""
    variables = {name: fill_url(value, url) for name, value in database.environment.items()}
    return {**variables, **dict.fromkeys(database.url_variables, url)}


def refuse_literal_url(database: Database, url: URL) -> None:
    """Refuse an entry that names the database's own URL where a rehearsal needs the URL of its copy.

    Raises:
        Refused: a variable of ``environment``, or an argument, is that URL.
    """
    variables = {name: value for name, value in database.environment.items() if name not in database.url_variables}
    for name, value in variables.items():
        if _is_same_place(value, url):
            raise _build_refusal(database.name, f"{name} in environment", f"environment: {{{name}: '{{url}}'}}")
    for argument in database.x_arguments:
        name, equals, value = argument.partition("=")
        if _is_same_place(value if equals else name, url):
            shown = f"{name}={{url}}" if equals else "{url}"
            raise _build_refusal(database.name, f"{name} in x_arguments" if equals else "x_arguments", f"'{shown}'")


def _build_refusal(name: str, where: str, instead: str) -> Refused:
    return Refused(
        f"Database {name!r} cannot be rehearsed",
        f"{where} is the URL of the database itself, and env.py would change that in place of the copy",
        f"Write a placeholder, which is this URL in an upgrade and the copy's in a rehearsal: {instead}",
        code="rehearsal-url-literal",
    )


def _is_same_place(value: str, url: URL) -> bool:
    if "://" not in value:
        return False
    try:
        found = sa.engine.make_url(value.strip())
    except Exception:  # noqa: BLE001 - an address of another kind
        return False
    return _locate_database(found) == _locate_database(url)


def _locate_database(url: URL) -> tuple[str, str, int | None, str]:
    host = url.host or str(url.query.get("host") or "")
    return find_backend(url.drivername), host, find_port(url), str(url.database or "")
