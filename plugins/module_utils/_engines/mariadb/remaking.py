# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The triggers, views, routines and events that the user may not make again, before a restore and at its end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import HALF_WAY, Failed, Refused
from ..._core.paths import write_durably
from ..connection import describe_error
from .made_schemas import MadeSchemas
from .privileges import has_everywhere, is_distrusted, read_grants
from .quoting import quote_name
from .scripts import NotMade, Pieces

if TYPE_CHECKING:
    from ..connection import OwnConnection
    from .session import MariaDBSession

_NAME = rb"`((?:[^`]|``)*)`"
#: The first one of a statement is in its head: mariadb-dump writes it for whatever has one.
_DEFINER = re.compile(rb"DEFINER\s*=\s*" + _NAME + rb"(?:@" + _NAME + rb")?", re.IGNORECASE)
_CHANGES_DATA = re.compile(rb"\b(?:TRIGGER|FUNCTION)\b", re.IGNORECASE)
_BEGINS = b"DELIMITER ;;\n"
_HEAD = 1000  # bytes of a statement in which its kind is

_ERROR = re.compile(r"ERROR (?P<number>\d+) \((?P<state>\w{5})\)")
#: Errors of a statement that the server takes at no time: these, and all of one class.
_NEVER = {1356, 1418, 1419, 1449}
_WRONG_IN_ITSELF = "42"
#: Errors of that class that pass: a user's limits.
_PASSES = {1203, 1226}


@dataclass(frozen=True)
class Ended:
    """The end of a restore, or of its undoing: in words, and what could not be made again, each with its reason."""

    words: str
    not_made: list[str]


def may_not_make(engine: MariaDBSession, pieces: Pieces) -> list[str]:
    """Return in words why the user may not make what scripts make."""
    own = engine.open_own_connection()
    others, found = list_other_definers(own, pieces), []
    if others and not has_everywhere(own.run(read_grants), "SET USER"):
        found.append(f"it may not make anew what has another definer ({', '.join(others)})")
    if has_code_pieces(pieces) and is_distrusted(own):
        found.append("the server has a binary log, and trusts no one but SUPER to make triggers and functions")
    return found


def list_other_definers(own: OwnConnection, pieces: Pieces) -> list[str]:
    """Return the definers of what scripts make, other than the user itself."""
    me = str(own.query_rows("select current_user()")[0][0])
    return sorted({definer for definer in map(_find_definer, _split_statements(pieces)) if definer not in ("", me)})


def has_code_pieces(pieces: Pieces) -> bool:
    """Return whether scripts make triggers or functions."""
    return any(_CHANGES_DATA.search(statement[:_HEAD]) for statement in _split_statements(pieces))


def _split_statements(pieces: Pieces) -> list[bytes]:
    return [statement for piece in pieces for statement in piece.split(_BEGINS)[1:]]


def write_administrator_script(engine: MariaDBSession, schema: str, failure: NotMade) -> list[str]:
    """Write what the server never lets the user make into a script for an administrator, and return why, in words.

    Args:
        engine: of the database.
        schema: that of the restore.
        failure: what could not be made.

    Raises:
        Failed: it may be made the next time.
    """
    match = _ERROR.search(failure.why)
    number, state = (int(match["number"]), match["state"]) if match else (0, "")
    if number in _PASSES or not (number in _NEVER or state.startswith(_WRONG_IN_ITSELF)):
        raise Failed(failure.what, failure.why, code=HALF_WAY) from failure  # half_way() adds what to type
    path = MadeSchemas.of(engine).locate_file_beside(schema, ".sql")
    write_script(path, failure.pieces)
    return [f"what {path} makes ({failure.why})"]


def write_script(path: Path, pieces: Pieces) -> None:
    """Write scripts for the client, byte for byte; what ends one comes behind the statement that fails."""
    write_durably(path, b"".join(pieces).decode("utf-8", "surrogateescape"))


def build_half_way_error(engine: MariaDBSession, error: BaseException) -> Failed:
    """Return that a restore stopped where the next run undoes or ends it."""
    if isinstance(error, Failed) and error.code == HALF_WAY and error.remedy:
        return error
    what = f"The restore of {engine.database.name!r} stopped half-way"
    why = f"{error.what}: {error.why}" if isinstance(error, Refused) else describe_error(error)
    # No recovery: a database that a restore holds is brought back by another one, whose lock does the rest.
    remedy = "Once the server answers, type the restore that is printed: it first undoes what was begun, or ends it"
    return Failed(what, why, remedy, code=HALF_WAY)


def build_not_made_error(engine: MariaDBSession, ended: Ended) -> Failed:
    """Return that a restore has been ended, or undone, but for what its user may not make."""
    return Failed(
        f"A restore of {engine.database.name!r} could not make everything again",
        f"{ended.words}, but for {'; '.join(ended.not_made)}",
        "Let an administrator execute the file that is named in the database, with mariadb --force --comments"
        f" --binary-mode {quote_name(engine.name_on_server)}; do to the rows of a table that is named what its triggers"
        " would have done",
        code=HALF_WAY,
    )


def _find_definer(statement: bytes) -> str:
    match = _DEFINER.search(statement)
    if match is None:
        return ""
    user, host = (part.replace(b"``", b"`").decode("utf-8", "replace") for part in (match[1], match[2] or b""))
    return f"{user}@{host}" if match[2] is not None else user
