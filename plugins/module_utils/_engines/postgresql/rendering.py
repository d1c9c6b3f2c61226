# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalog's texts, rendered alike on every connection: no setting of a role or a database has a say in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..connection import execute

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: What decides how the server renders expressions and types. With an empty search_path every name has its schema.
FIXED = {
    "search_path": "",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "quote_all_identifiers": "off",
}

#: A setting that is not used, by which it is seen whether a local one outlives its statement.
_PROBE = "hosting_alembic.local"

_CAST = re.compile(
    r"::(?:(?:\"(?:[^\"]|\"\")+\"|[a-z_][\w$]*)\.)*(?:\"(?:[^\"]|\"\")+\"|[a-z_][\w$]*)"
    r"(?: varying| precision)?(?:\(\d+(?:,-?\d+)?\))?(?: with(?:out)? time zone)?(?:\[\])*"
)
_LITERAL = re.compile(r"('(?:[^']|'')*')")
_AROUND = re.compile(r"\s*([\[\],])\s*")


@contextmanager
def fix_rendering(connection: Connection) -> Iterator[None]:
    """Render the catalog's texts in one way inside the block, and leave the connection's settings as they were.

    A connection of env.py's is in a transaction, where the settings are local and a SET LOCAL of its own stays one;
    ours is in autocommit, where a local setting is gone with its statement.
    """
    values = ", ".join(f"current_setting('{name}')" for name in FIXED)
    before = dict(zip(FIXED, execute(connection, f"select {values}, set_config('{_PROBE}', 'on', true)")[0]))
    local = execute(connection, f"select current_setting('{_PROBE}', true) = 'on'")[0][0] is True
    _set(connection, FIXED, local=local)
    try:
        yield
    except BaseException:
        with suppress(Exception):  # a transaction that has failed takes its settings back by itself
            _set(connection, before, local=local)
        raise
    _set(connection, before, local=local)


def render_fixed_settings() -> str:
    """Return the same settings as statements for psql, for the rest of a transaction."""
    return " ".join(f"set local {name} = '{value}';" for name, value in FIXED.items())


def _set(connection: Connection, settings: dict[str, str], *, local: bool) -> None:
    calls = ", ".join(f"set_config('{name}', :{name}, {str(local).lower()})" for name in settings)
    execute(connection, f"select {calls}", settings)


def normalise_line(line: str) -> str:
    """Return a line without what a restore renders anew: casts, parentheses, white space. Literals stay as they are.

    ``status IN ('a', 'b')`` on a varchar is kept with a cast of the array, and read back with one of each element.
    """
    parts = _LITERAL.split(line)
    # Each literal becomes one word first: a cast may follow it, and a parenthesis surround it.
    text = "".join(f"\0{number}\0" if number % 2 else part for number, part in enumerate(parts))
    text = " ".join(_CAST.sub("", text).replace("(", " ").replace(")", " ").split())
    text = _AROUND.sub(r"\1", text)
    return re.sub("\0(\\d+)\0", lambda found: parts[int(found[1])], text)


def render_as_restored(fingerprint: list[str]) -> list[str]:
    """Return the lines of a fingerprint as a restore gives them.

    An INVALID index is in no dump, and a partition that has not its parent's default gets NULL for one.
    """
    return [as_dumped(line) for line in fingerprint if not is_invalid(line)]


def as_dumped(line: str) -> str:
    """Return a line with no default in the place of one that is NULL."""
    return _NO_DEFAULT.sub(r"\1 default identity ", line)


def is_invalid(line: str) -> bool:
    """Return whether a line is of an INVALID index."""
    return bool(_INVALID.search(line))


_NO_DEFAULT = re.compile(r"^(column .* null [tf]) default NULL identity ", re.DOTALL)


_INVALID = re.compile(r"^index .* valid (?:f ready .|t ready f)$", re.DOTALL)
