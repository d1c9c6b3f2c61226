# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Foreign keys of tables that are restored beside those that they replace, in the same database.

Their names are unique in a database. So those of a backup have names of ours until its tables are in; then the replaced
tables lose theirs, and the others get them.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from ..._core.errors import REPLACED_NOTHING, REPORT_IT, Failed
from .content import run_sql
from .dump_lines import split_definition
from .lock_attempts import retry_until_locked
from .quoting import qualify_name, quote_name
from .same_name import IN_SCHEMA, match_name

if TYPE_CHECKING:
    from ..connection import OwnConnection
    from .places import Place, PrefixPlace
    from .session import MariaDBSession
    from .swap_state import SwapState

_NAME = r"`((?:[^`]|``)+)`"
_COLUMNS = rf"\({_NAME}(?:, {_NAME})*\)"
_KEY = re.compile(
    rf"CONSTRAINT (?P<name>{_NAME}) FOREIGN KEY {_COLUMNS} REFERENCES (?P<table>{_NAME}) {_COLUMNS}[ A-Z]*"
)
_IS_KEY = re.compile(rf"CONSTRAINT {_NAME} FOREIGN KEY ")
_KEYS = f"""
select constraint_name from information_schema.table_constraints
 where {IN_SCHEMA} and {match_name("table_name", ":name")} and constraint_type = 'FOREIGN KEY' order by constraint_name
"""
#: The keys and the rows of a table are those of the backup: they need no proof, and may be older than what is proven.
_AS_IT_IS = (
    "set statement foreign_key_checks = 0, check_constraint_checks = 0, innodb_strict_mode = 0, sql_mode = '' for"
)


def list_keys(definition: str) -> list[str]:
    """Return the lines of foreign keys in the statement that makes a table."""
    lines = (line.strip().removesuffix(",") for line in split_definition(definition))
    return [line for line in lines if _IS_KEY.match(line)]


def convert_to_prefix(definition: str, table: str, place: PrefixPlace, tables: set[str]) -> str:
    """Return what makes a table with foreign keys to the tables of its place, and with names of ours.

    Args:
        definition: a statement that makes it, in which its own name is another already.
        table: its own name.
        place: the place.
        tables: those that are there.

    Raises:
        Failed: a foreign key is not understood.
    """
    return "\n".join(_convert_line(line, table, place, tables) for line in split_definition(definition))


def _convert_line(line: str, table: str, place: PrefixPlace, tables: set[str]) -> str:
    text = line.strip()
    if not line.startswith("  ") or not _IS_KEY.match(text):
        return line
    match = _KEY.fullmatch(text.removesuffix(","))
    if match is None:
        raise Failed("A foreign key of the backup is not understood", text, REPORT_IT, code=REPLACED_NOTHING)
    other = _unquote_name(match["table"])
    there = quote_name(place.locate_table(other)[1]) if other in tables else match["table"]
    words = text[: match.start("table")] + there + text[match.end("table") :]
    return "  " + words.replace(
        match["name"], quote_name(_build_key_name(place.name, table, _unquote_name(match["name"]))), 1
    )


def _unquote_name(name: str) -> str:
    return name[1:-1].replace("``", "`")


def _build_key_name(place: str, table: str, name: str) -> str:
    digest = hashlib.sha256(f"{place}\0{table}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"hosting_alembic_key_{digest[:24]}"


def name_keys(engine: MariaDBSession, old: Place, state: SwapState) -> None:
    """Give the foreign keys of restored tables their own names, which the replaced ones lose; may be done twice.

    Each statement changes one table, and takes nothing from it: no row can be written that its keys forbid.
    """
    own = engine.open_own_connection()
    with engine.shorten_lock_timeout(engine.job.lock_timeout):
        for table in state.out if state.keys or state.replaced_keys else ():
            names = _read_keys(own, *old.locate_table(table))
            _change(engine, old.qualify_table(table), [f"drop foreign key {quote_name(name)}" for name in names])
        for table, keys in state.keys.items():
            there = set(_read_keys(own, state.of, table))
            ours = {_build_key_name(state.beside, table, _parse_key_name(key)): key for key in keys}
            left = [name for name in ours if name in there]
            words = [f"drop foreign key {quote_name(name)}" for name in left] + [f"add {ours[name]}" for name in left]
            _change(engine, qualify_name(state.of, table), words)


def _read_keys(own: OwnConnection, schema: str, table: str) -> list[str]:
    return [str(name) for (name,) in own.query_rows(_KEYS, schema=schema, name=table)]


def _parse_key_name(key: str) -> str:
    match = _IS_KEY.match(key)
    return match[1].replace("``", "`") if match else ""


def _change(engine: MariaDBSession, table: str, words: list[str]) -> None:
    if not words:
        return
    engine.check_locked()
    statement = f"{_AS_IT_IS} alter table {table} {', '.join(words)}"
    retry_until_locked(
        engine.job.lock_wait, lambda: run_sql(engine.open_own_connection(), statement), engine.is_lock_timeout
    )
