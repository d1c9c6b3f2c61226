# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source of databases, as ``migrate_discover`` describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core.url_parts import split_url
from .template import URLS, find_columns, is_whole

#: What a source queries; each has one of them.
KINDS = ("sql", "files", "command")
#: What lists databases whose schemas can be listed in turn.
_OF_SERVERS = ("sql", "command")
#: The columns of a file.
OF_FILES = ("path", "name", "stem", "folder")


@dataclass(frozen=True)
class Source:
    """One source. ``maximum_change`` is in percent, ``timeout`` in seconds."""

    name: str
    template: Mapping[str, Any] = field(repr=False)
    sql: str = field(default="", repr=False)
    url: str = field(default="", repr=False)
    password: str | None = field(default=None, repr=False)
    files: tuple[str, ...] = ()
    command: tuple[str, ...] = field(default=(), repr=False)
    #: Patterns of schemas, each of which is a database of its own then.
    schemas: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    minimum: int = 1
    maximum_change: float = 10
    timeout: float = 60

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Source:
        """Return the source of an entry of ``migrate_discover``."""
        known = {key: value for key, value in options.items() if key in cls.__dataclass_fields__ and value is not None}
        for key in ("files", "command", "schemas", "exclude"):
            known[key] = tuple(known.get(key, ()))
        known["template"] = {key: value for key, value in known["template"].items() if value not in (None, "", [], {})}
        return cls(**known)


def list_source_problems(place: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with an entry whose keys are known and whose values have their types."""
    queried = [kind for kind in KINDS if entry.get(kind)]
    yield from _list_kind_problems(place, entry, queried)
    for pattern in entry.get("files") or []:
        if not pattern.startswith("/") or "/../" in f"{pattern}/":
            yield f"{place}: files must be absolute paths without .., and {pattern!r} is not."
        if "**" in pattern:
            yield f"{place}: ** in {pattern!r} is not any depth of folders; give a pattern for each depth."
    yield from _list_number_problems(place, entry)
    yield from _list_template_problems(place, entry, queried)


def _list_kind_problems(place: str, entry: Mapping[str, Any], queried: list[str]) -> Iterator[str]:
    schemas, url = bool(entry.get("schemas")), bool(entry.get("url"))
    if len(queried) > 1 or not (queried or schemas):
        yield f"{place} must have one of {', '.join([*KINDS, 'schemas'])} and has {' and '.join(queried) or 'none'}."
    if entry.get("sql") and not url:
        yield f"{place} has sql and no url of the database to query."
    if schemas and not queried and not url:
        yield f"{place} has schemas and no url of their database."
    if schemas and queried and queried[0] not in _OF_SERVERS:
        yield f"{place} has schemas of {queried[0]}; known are those of {' and '.join(_OF_SERVERS)}, or of a url alone."
    if url and not (entry.get("sql") or (schemas and not queried)):
        yield f"{place} has a url and no sql; the url of what is found belongs into its template."


def _list_number_problems(place: str, entry: Mapping[str, Any]) -> Iterator[str]:
    limits = (("minimum", 0), ("maximum_change", 0), ("timeout", 0.1))
    for key, least in limits:
        if entry.get(key) is not None and entry[key] < least:
            yield f"{place}: {key} must be at least {least:g}."


def _list_template_problems(place: str, entry: Mapping[str, Any], queried: list[str]) -> Iterator[str]:
    template = entry.get("template")
    if not isinstance(template, Mapping):
        return
    schemas = bool(entry.get("schemas"))
    if schemas != bool(template.get("schema")):
        yield f"{place}: {'schema' if schemas else 'schemas'} is missing; one of them names what the other one uses."
    for key in ("name",) if schemas and not queried else ("name", "url"):
        if isinstance(template.get(key), str) and not find_columns({key: template[key]}):
            yield f"{place}: {key} in its template names no column, so all that is found would have the same."
    for key in URLS:
        url = template.get(key)
        if isinstance(url, str) and url and not is_whole(url) and not split_url(url):
            yield f"{place}: {key} in its template is not a URL."
    if queried == ["files"]:
        for name in sorted(find_columns(template) - set(OF_FILES)):
            yield f"{place}: its template names {{{name}}}; of files known are {', '.join(OF_FILES)}."
