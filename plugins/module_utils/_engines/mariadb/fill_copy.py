# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filling a rehearsal's copy from a dump: its tables, and the definitions of all else. No event of it runs there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..._core.errors import OTHER_COPY, Failed, describe_first
from ..._core.paths import hash_file
from . import client_input
from .dump_text import Definition, Definitions, parse_dump, select_table_lines
from .full_names import find_named_database
from .only_here import read_objects, read_other_schemas
from .quoting import quote_name
from .same_name import EVENT_IS_IN_SCHEMA
from .scripts import build_redo, run_pieces

if TYPE_CHECKING:
    from ..data import Archive
    from .session import MariaDBSession

_DEFINER = re.compile(rb"DEFINER=`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?\s*")
#: Tables that have their rows elsewhere, or that would bind tables of others.
_ELSEWHERE = re.compile(
    r"\bENGINE ?= ?(?:FEDERATED|CONNECT|SPIDER|S3)\b|\b(?:REFERENCES |UNION=\()`(?:[^`]|``)+`\.`", re.IGNORECASE
)
#: What the server writes between the times of an event and what it does.
_STATUS = re.compile(rb"(\bON COMPLETION (?:NOT )?PRESERVE )(?:ENABLE|DISABLE)\b")
_EVENT = "event "
_RUNNING = f"select event_name from information_schema.events where {EVENT_IS_IN_SCHEMA} and status = 'ENABLED'"
_MOST_NAMED = 5


def fill(engine: MariaDBSession, archive: Archive, database: str) -> list[str]:
    """Fill an empty schema, and return in words what is not as it was.

    Args:
        engine: of the copy.
        archive: the backup.
        database: what the server calls the one that was backed up.

    Raises:
        Failed: the backup is damaged, or could not be loaded, or has what would change the database itself.
    """
    if archive.sha256 not in ("", hash_file(archive.path)):
        raise _describe_failure(engine, f"{archive.path} is not what its manifest says")
    with archive.path.open("rb") as lines:
        found = parse_dump(lines)
    if found.not_understood:
        raise _describe_failure(
            engine, "its backup holds what cannot be made again: " + "; ".join(found.not_understood)
        )
    elsewhere = list_bound_elsewhere(found)
    if elsewhere:
        those = describe_first(elsewhere, _MOST_NAMED)
        why = f"these have their rows elsewhere, or foreign keys to another database: {those}"
        raise _describe_failure(engine, why)
    _refuse_full_names(engine, found, database)
    found, notes = _disable_events(found)
    try:
        with archive.path.open("rb") as lines:
            copied = (_replace_in_line(line, database, engine.name_on_server) for line in select_table_lines(lines))
            client_input.feed(engine, engine.name_on_server, copied)
        notes += _make_definitions(engine, found)
    except Failed as failure:
        raise _describe_failure(engine, failure.why or failure.what) from failure
    running = [str(name) for (name,) in engine.open_own_connection().query_rows(_RUNNING, schema=engine.name_on_server)]
    if running:
        raise _describe_failure(engine, f"events of the copy are enabled: {', '.join(running[:_MOST_NAMED])}")
    return notes


def replace_sequences(text: str, database: str, other: str) -> str:
    """Return a definition whose defaults read the sequences of another database."""
    return text.replace(f"nextval({quote_name(database)}.", f"nextval({quote_name(other)}.")


def _replace_in_line(line: bytes, database: str, copy: str) -> bytes:
    """Return a line of a dump; the server writes the name of the database before a sequence in a default."""
    if not line.startswith(b"  `") or b"nextval(" not in line:
        return line
    text = replace_sequences(line.decode("utf-8", "surrogateescape"), database, copy)
    return text.encode("utf-8", "surrogateescape")


def _describe_failure(engine: MariaDBSession, why: str) -> Failed:
    return Failed(
        f"The copy of database {engine.database.name!r} was not filled", why, OTHER_COPY, code="rehearsal-copy-failed"
    )


def _make_definitions(engine: MariaDBSession, found: Definitions) -> list[str]:
    """Make triggers, views, routines and events by the copy's user itself: another one's would have other rights."""
    nothing, tables = Definitions(), found.list_tables()
    run_pieces(engine, build_redo(_change_each(found, _strip_definer), nothing, set(), tables))
    if found.views or found.triggers or found.routines:
        return ["views, triggers, routines and events of the copy have the rehearsal's user as definer"]
    return []


def _change_each(found: Definitions, change: Callable[[Definition], Definition]) -> Definitions:
    """Return definitions with each of them changed."""
    return replace(
        found,
        views={name: change(each) for name, each in found.views.items()},
        triggers={table: [change(each) for each in some] for table, some in found.triggers.items()},
        routines={key: change(each) for key, each in found.routines.items()},
    )


def _strip_definer(definition: Definition) -> Definition:
    return replace(definition, statement=_DEFINER.sub(b"", definition.statement, count=1))


def _disable_events(found: Definitions) -> tuple[Definitions, list[str]]:
    """Return definitions in which no event is enabled; one whose definition is not understood is left out."""
    routines, notes = {}, []
    for key, definition in found.routines.items():
        if not key.startswith(_EVENT):
            routines[key] = definition
            continue
        statement, count = _STATUS.subn(rb"\1DISABLE", definition.statement, count=1)
        if count:
            routines[key] = replace(definition, statement=statement)
        else:
            notes.append(f"without {key}: its definition is not understood")
    return replace(found, routines=routines), notes


def list_bound_elsewhere(found: Definitions) -> list[str]:
    """Return the tables of which a copy would change, or bind, what is in no copy."""
    return sorted(name for name, text in found.tables.items() if _ELSEWHERE.search(text))


def _refuse_full_names(engine: MariaDBSession, found: Definitions, database: str) -> None:
    """Refuse a copy in which a trigger, a routine or a default would write into the database itself.

    Raises:
        Failed: there is one.
    """
    texts = {
        f"table {name}": replace_sequences(text, database, engine.name_on_server) for name, text in found.tables.items()
    }
    texts |= {f"view {name}": each.text for name, each in found.views.items()}
    texts |= {
        f"trigger {number} of table {table}": each.text
        for table, some in found.triggers.items()
        for number, each in enumerate(some, 1)
    }
    texts |= {key: each.text for key, each in found.routines.items()}
    own, objects = (
        engine.open_own_connection(),
        [*found.list_tables(), *found.views, *(key.partition(" ")[2] for key in found.routines)],
    )
    others = read_other_schemas(own, engine.name_on_server, database)

    def list_known_objects(name: str) -> list[str]:
        return objects if name == database else read_objects(own, name)

    named = sorted(key for key, text in texts.items() if find_named_database(text, others, list_known_objects))
    if named:
        raise Failed(
            f"Database {engine.database.name!r} cannot be rehearsed beside itself",
            "these name it, or another database, in full, so that on a copy they would read or change that:"
            f" {describe_first(named, _MOST_NAMED)}",
            "Define them without the name of the database, or rehearse on a server of your own that has all databases",
            code="rehearsal-names-database",
        )
