# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An entry of a database, made of a template and a row that was found.

A row is data of others: it must not get from the part of a URL that it was meant for into another one, and what it
holds besides the columns that the template names is forgotten.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from .._core.argument_specs import Entry
from .._core.errors import ROW_UNFIT, Refused
from .._core.url_parts import find_spans, split_url
from .._core.urls import find_backend

Row = Mapping[str, Any]

#: Characters of one value.
LONGEST = 4096

URLS = ("url", "direct_url", "admin_url", "rehearse_url")
#: Keys in whose values ``{url}`` and ``{url.host}`` are filled in when env.py runs.
_WITH_URL = ("environment", "x_arguments")

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: What would be filled in when env.py runs, and with a password.
_OURS_IN_VALUE = re.compile(r"\{url(\.\w+)?\}")
_HOST = re.compile(r"[A-Za-z0-9._-]+")
_PORT = re.compile(r"[0-9]{1,5}")
#: Options of a URL that say where a database is.
_OF_A_PLACE = ("host", "hostaddr", "port", "service", "dbname", "unix_sock")
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")


class Unfit(Exception):
    """A row from which no entry can be made; its text says why and holds no value of the row."""


@dataclass(frozen=True)
class Unreadable:
    """The value of a column that could not be read, though the row could."""

    why: str = field(repr=False)


def find_columns(template: Mapping[str, Any]) -> set[str]:
    """Return the columns that a template needs."""
    return {
        name for key, text in _list_texts(template) for name in _PLACEHOLDER.findall(text) if not _is_ours(key, name)
    }


def is_whole(text: str) -> bool:
    """Return whether a text is one placeholder and nothing else."""
    return bool(_PLACEHOLDER.fullmatch(text))


def read_used_values(template: Mapping[str, Any], row: Row) -> dict[str, str]:
    """Return the values of a row that a template needs, as text.

    Raises:
        Unfit: one of them is missing, too long or not one line of text.
    """
    return {name: _as_text(name, row.get(name)) for name in sorted(find_columns(template))}


def build_entry(template: Mapping[str, Any], values: Mapping[str, str]) -> Entry:
    """Return the entry of a template.

    Args:
        template: as an entry, with ``{column}`` in its texts.
        values: from ``read_used_values``.

    Raises:
        Unfit: a value cannot be written where the template has it.
        Refused: the row has been kept since before the template named another column.
    """
    missing = sorted(find_columns(template) - set(values))
    if missing:
        raise Refused(
            "The list of databases that was kept does not fit the template any more",
            f"the template names {', '.join(missing)}, which was not kept",
            "Put the template back for this run, or begin a new one",
            code="discovery-template-invalid",
        )
    made: Entry = {}
    for key, value in template.items():
        if value is not None:
            made[key] = _fill_value(key, value, values)
    return made


def make_refused_entry(name: str, problem: str, code: str = ROW_UNFIT) -> Entry:
    """Return the entry of a database with which nothing can be done."""
    return {"name": name, "url": "unfit://", "problem": problem, "problem_code": code}


def hash_place(entry: Entry) -> str:
    """Return a digest of where an entry's database is, by whichever user and driver it is opened."""
    url = str(entry.get("direct_url") or entry["url"])
    parts = split_url(url)
    place = [find_backend(url), *(parts.get(name, "") for name in ("host", "ipv6", "port", "database"))]
    options = parse_qs(parts.get("query", ""))
    place += [f"{name}={options[name]}" for name in _OF_A_PLACE if name in options]
    place += [f"schema={entry['schema']}"] if entry.get("schema") else []
    return hashlib.sha256("\0".join(place).encode(errors="surrogateescape")).hexdigest()


def _fill_value(key: str, value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _fill_url(key, value, values) if key in URLS else _fill_plain(key, value, values)
    if isinstance(value, list):
        return [_fill_value(key, item, values) for item in value]
    if isinstance(value, dict):
        return {name: _fill_value(key, item, values) for name, item in value.items()}
    return value


def _fill_plain(key: str, text: str, values: Mapping[str, str]) -> str:
    if key in _WITH_URL:
        for name in _PLACEHOLDER.findall(text):
            if not _is_ours(key, name) and _OURS_IN_VALUE.search(values[name]):
                raise Unfit(f"its {name} holds a placeholder of {key}")
    return _PLACEHOLDER.sub(lambda found: found[0] if _is_ours(key, found[1]) else values[found[1]], text)


def _fill_url(key: str, text: str, values: Mapping[str, str]) -> str:
    """Return a URL; a placeholder that is all of it is a whole URL itself, any other one stays within its part."""
    if is_whole(text):
        whole = _fill_plain(key, text, values)
        if not split_url(whole):
            raise Unfit(f"its {key} is not a URL")
        return whole
    if not split_url(text):
        raise Unfit(f"its {key} is not a URL")
    wanted = {}
    made = text
    # From behind, so that the places before stay where they are.
    for part, (start, end) in sorted(find_spans(text).items(), key=lambda item: item[1], reverse=True):
        encode = _ENCODERS.get(part, _as_it_is)
        wanted[part] = _PLACEHOLDER.sub(lambda found: encode(key, found[1], values[found[1]]), text[start:end])  # noqa: B023
        made = made[:start] + wanted[part] + made[end:]
    if split_url(made) != wanted:
        raise Unfit(f"its {key} would be read as another one than was meant")
    database = split_url(text).get("database", "")
    if not is_whole(database) and _list_steps(wanted.get("database", "")) != _list_steps(database):
        raise Unfit(f"its {key} would lead out of the folder that was meant")
    return made


def _list_steps(path: str) -> list[str]:
    """Return the parts of a path that lead to a folder itself or above it."""
    return [part for part in path.split("/") if part in (".", "..")]


def _encode_value(_key: str, _column: str, value: str) -> str:
    return quote(value, safe="")


def _build_check(pattern: re.Pattern[str], what: str) -> Callable[[str, str, str], str]:
    def check_value(key: str, column: str, value: str) -> str:
        if not pattern.fullmatch(value):
            raise Unfit(f"its {column} cannot be {what} in {key}")
        return value

    return check_value


def _as_it_is(key: str, column: str, value: str) -> str:
    """Return the name of a database or a path, which some releases of SQLAlchemy decode and others do not."""
    if "?" in value or unquote(value) != value:
        raise Unfit(f"its {column} cannot be the name of a database in {key}")
    return value


_ENCODERS: dict[str, Callable[[str, str, str], str]] = {
    "username": _encode_value,
    "password": _encode_value,
    "query": _encode_value,
    "scheme": _build_check(re.compile(r"[\w+]+", re.ASCII), "a dialect"),
    "host": _build_check(_HOST, "a host"),
    "ipv6": _build_check(re.compile(r"[0-9A-Fa-f:.]+"), "a host"),
    "port": _build_check(_PORT, "a port"),
}


def _as_text(column: str, value: Any) -> str:
    if isinstance(value, Unreadable):
        raise Unfit(f"its {column} could not be read: {value.why}")
    if value is None:
        raise Unfit(f"it has no {column}")
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int, float)):
        raise Unfit(f"its {column} is not text")
    text = str(value)
    if not text.strip():
        raise Unfit(f"its {column} is empty")
    if len(text) > LONGEST:
        raise Unfit(f"its {column} is longer than {LONGEST} characters")
    if any(unicodedata.category(character) in _CONTROLS for character in text):
        raise Unfit(f"its {column} holds a line feed or another control character")
    return text


def _is_ours(key: str, name: str) -> bool:
    return key in _WITH_URL and name == "url"


def _list_texts(template: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in template.items():
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                yield key, item
            elif isinstance(item, Mapping):
                waiting += item.values()
            elif isinstance(item, list):
                waiting += item
