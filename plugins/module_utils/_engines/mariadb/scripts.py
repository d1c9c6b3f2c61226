# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scripts that make triggers, views, routines and events again: each piece may be run twice."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..._core.errors import REPLACED_NOTHING, REPORT_IT, Failed
from . import client_input
from .dump_text import Definition, Definitions
from .quoting import quote_name

if TYPE_CHECKING:
    from .session import MariaDBSession

#: Inputs of a client.
Pieces = list[bytes]

#: What is behind it in a piece is executed even where something before it fails.
_AT_LAST = b"-- hosting.alembic: at last\n"
#: Before it no other session writes into the tables of a piece: they are locked, and unlocked behind it.
_GUARDED = b"-- hosting.alembic: guarded\n"
#: Triggers that refuse what would fire the others, until these are there.
_GUARD = "hosting_alembic_guard"
_EVENTS = (b"INSERT", b"UPDATE", b"DELETE")
_REFUSES = b"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'hosting.alembic makes the triggers of this table again'"
#: How the piece that makes triggers begins, and how the locks end.
_LOCKS, _LOCKED = b"LOCK TABLES ", b" WRITE;\n"
_WORD = rb"(?:`(?:[^`]|``)+`|[^\s`.(]+)"
_TRIGGER = re.compile(
    rb"\bTRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:" + _WORD + rb"\s*\.\s*)?(" + _WORD + rb")\s", re.IGNORECASE
)


class NotMade(Failed):
    """Some pieces could not be run; the reason is that of the last one."""

    def __init__(self, failure: Failed, pieces: Pieces) -> None:
        super().__init__(failure.what, failure.why, failure.remedy, code=failure.code)
        self.pieces = pieces


def build_undo(before: Definitions, now: Definitions, out: set[str]) -> Pieces:
    """Return what makes again, as it is now, all that a restore drops or changes.

    Args:
        before: what the backup defines.
        now: what the database defines.
        out: tables that are moved out.
    """
    makes = [table for table in sorted(now.triggers) if _has_changes(table, before, now, out)]
    pieces = _build_triggers([], makes, before, now)
    pieces += [_build_view(name, now.views[name]) for name in now.views if now.views[name] != before.views.get(name)]
    return pieces + [_build_routine(key, now) for key in now.routines if now.routines[key] != before.routines.get(key)]


def build_redo(before: Definitions, now: Definitions, out: set[str], into: set[str]) -> Pieces:
    """Return what drops what was not there before, and makes the rest as it was.

    Args:
        before: as for ``build_undo``.
        now: the same.
        out: the same.
        into: tables that are moved in.
    """
    drops = [table for table in sorted(now.triggers) if table not in out and _has_changes(table, before, now, out)]
    makes = sorted(table for table in before.triggers if table in into or _has_changes(table, before, now, out))
    pieces = _build_triggers(drops, makes, now, before)
    pieces += [
        b"DROP VIEW IF EXISTS %s;\n" % _quote_name(name)
        for name in (*now.views, *now.invalid_views)
        if name not in before.list_tables() and name not in before.views
    ]
    pieces += [_render_drop(key) for key in now.routines if key not in before.routines]
    changed = {name for name in before.views if before.views[name] != now.views.get(name)}
    pieces += [_build_view(name, before.views[name]) for name in before.views if name in changed]
    return pieces + [
        _build_routine(key, before) for key in before.routines if before.routines[key] != now.routines.get(key)
    ]


def pack_pieces(pieces: Pieces) -> bytes:
    """Return pieces as one value of a column."""
    return json.dumps([piece.decode("latin-1") for piece in pieces]).encode()


def unpack_pieces(value: bytes) -> Pieces:
    """Return the pieces that ``pack_pieces`` has packed."""
    return [piece.encode("latin-1") for piece in json.loads(value or b"[]")]


def run_pieces(engine: MariaDBSession, pieces: Pieces) -> None:
    """Run all pieces; one that needs another, as a view does that reads a view, is run after it.

    Raises:
        NotMade: some cannot be run.
    """
    while pieces:
        failed, failure = [], None
        for piece in pieces:
            engine.check_locked()
            try:
                client_input.feed_piece(engine, engine.name_on_server, piece)
            except Failed as error:
                _end(engine, piece)
                if client_input.is_lock_failure(error):
                    raise NotMade(error, pieces) from error
                failed.append(piece)
                failure = error
        if failure and len(failed) == len(pieces):
            raise NotMade(failure, failed)
        pieces = failed


def _end(engine: MariaDBSession, piece: bytes) -> None:
    """Execute what ends a piece that has failed."""
    _before, is_there, last = piece.partition(_AT_LAST)
    if is_there:
        client_input.feed_piece(engine, engine.name_on_server, last)


def _has_changes(table: str, before: Definitions, now: Definitions, out: set[str]) -> bool:
    return table in out or before.triggers.get(table) != now.triggers.get(table)


def _build_triggers(drops: list[str], makes: list[str], there: Definitions, wanted: Definitions) -> Pieces:
    """Return the piece that makes triggers, in the order in which they fire, while no one writes into their tables.

    Args:
        drops: tables whose triggers are dropped.
        makes: tables whose triggers are made.
        there: what has the triggers that are dropped.
        wanted: what has those that are made.
    """
    made = [trigger for table in makes for trigger in wanted.triggers[table]]
    names = dict.fromkeys(_parse_name(trigger) for table in drops for trigger in there.triggers[table])
    names |= dict.fromkeys(map(_parse_name, made))
    if not names:
        return []
    locks = b" WRITE, ".join(_quote_name(table) for table in sorted({*drops, *makes})) + _LOCKED
    locks = _LOCKS + locks
    dropped = _drop_triggers(names)
    if all(trigger.defaults is None for trigger in made):
        return [locks + dropped + b"".join(trigger.script for trigger in made) + b"UNLOCK TABLES;\n"]
    # ALTER DATABASE is refused to a session that has locked tables, and waits for others that have: so triggers of
    # ours refuse meanwhile what would fire theirs. What fires none, as TRUNCATE and foreign keys do, is let pass.
    guards = _build_guards(makes)
    body = dropped + _drop_triggers(guards) + b"".join(guards.values()) + _GUARDED + b"UNLOCK TABLES;\n"
    scripts = b"".join(_alter(trigger.defaults or wanted.defaults) + trigger.script for trigger in made)
    last = _alter(wanted.defaults) + _drop_triggers(guards)
    return [locks + body + scripts + _AT_LAST + last]


def _build_guards(tables: Iterable[str]) -> dict[bytes, bytes]:
    """Return what makes triggers that refuse each change of rows of some tables, by their names."""
    found = {}
    for table in tables:
        digest = hashlib.sha256(table.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        for number, event in enumerate(_EVENTS):
            name = _quote_name(f"{_GUARD}_{digest}_{number}")
            words = b"CREATE TRIGGER %s BEFORE %s ON %s FOR EACH ROW %s;\n"
            found[name] = words % (name, event, _quote_name(table), _REFUSES)
    return found


def _drop_triggers(names: Iterable[bytes]) -> bytes:
    return b"".join(b"DROP TRIGGER IF EXISTS %s;\n" % name for name in names)


def _alter(defaults: tuple[bytes, bytes] | None) -> bytes:
    """Return what gives the database that the client uses other defaults."""
    return b"ALTER DATABASE CHARACTER SET %s COLLATE %s;\n" % defaults if defaults else b""


def run_behind(engine: MariaDBSession, statement: str, pieces: Pieces, reads: list[str]) -> tuple[Pieces, list[str]]:
    """Execute a statement that makes tables reachable, and right behind it the piece that makes their triggers.

    Args:
        engine: of the database.
        statement: the one.
        pieces: of which the first may be the other.
        reads: statements that are executed once the tables are locked.

    Returns:
        The pieces that are left to run, and the lines that ``reads`` have printed.

    Raises:
        Failed: it is not known which of it was executed.
    """
    first, is_guarded, rest = pieces[0].partition(_GUARDED)
    if not is_guarded:
        end = pieces[0].index(_LOCKED) + len(_LOCKED)
        first, rest = pieces[0][:end], pieces[0][end:]
    # The client sends what is between other delimiters as one: the server waits for nothing between the two.
    lines = [b"DELIMITER ;;\n", statement.encode("utf-8", "surrogateescape") + b";\n", first, b";;\nDELIMITER ;\n"]
    lines += [each.encode("utf-8", "surrogateescape") + b";\n" for each in reads]
    printed: list[str] = []
    client_input.feed(engine, engine.name_on_server, [*lines, rest], printed_lines=printed)
    return pieces[1:], printed


def has_triggers(pieces: Pieces) -> bool:
    """Return whether the first piece makes or drops triggers."""
    return bool(pieces) and pieces[0].startswith(_LOCKS)


def _parse_name(trigger: Definition) -> bytes:
    match = _TRIGGER.search(trigger.statement)
    if match is None:
        raise Failed(
            "A trigger's name cannot be read from its definition",
            trigger.statement[:100].decode("utf-8", "replace"),
            REPORT_IT,
            code=REPLACED_NOTHING,
        )
    return match[1]


def _build_view(name: str, definition: Definition) -> bytes:
    return b"DROP VIEW IF EXISTS %s;\n%s" % (_quote_name(name), definition.script)


def _build_routine(key: str, wanted: Definitions) -> bytes:
    definition = wanted.routines[key]
    if definition.defaults is None:
        return _render_drop(key) + definition.script
    return _render_drop(key) + _alter(definition.defaults) + definition.script + _AT_LAST + _alter(wanted.defaults)


def _render_drop(key: str) -> bytes:
    kind, name = (key[:12], key[13:]) if key.startswith("package body ") else key.split(" ", 1)
    return b"DROP %s IF EXISTS %s;\n" % (kind.upper().encode(), _quote_name(name))


def _quote_name(name: str) -> bytes:
    return quote_name(name).encode("utf-8", "surrogateescape")
