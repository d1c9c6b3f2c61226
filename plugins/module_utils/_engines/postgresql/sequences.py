# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sequences that others have used since a backup: no revert sets them behind a value that others were given.

Each value that is taken from a sequence reads its only block, and the server counts who reads blocks; a SELECT from it
returns a row, which is counted as well, and so it is distinguished. What was counted since the backup, less what the
run has used in its steps and our own programs, is what others have used. The view pg_sequences is not distinguished.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..connection import execute
from ..data import Archive, WrittenRows
from ..sql import escape_colons
from .run_sessions import close_sessions_of_run
from .session import read_major_version
from .write_counters import count_sequence_reads, read_sequence_positions

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .session import PostgreSQLSession

#: As ``read_sequence_positions`` returns them.
Positions = dict[str, "tuple[int, bool, str, int] | None"]

_OTHERS = "others have used it, or have read the view pg_sequences, which the server counts alike"
#: Servers whose pg_dump reads each sequence with each dump of data, and not by a SELECT.
_READS_ALL_SINCE = 18


def find_used_by_others(
    connection: Connection, archive: Archive, written_rows: WrittenRows, own_reads: Counter[str]
) -> dict[str, str]:
    """Return the sequences of a backup that others have used since, or may have, by the quoted name they had, in words.

    Args:
        connection: our own; what sessions have counted is there for certain once they have ended.
        archive: the backup.
        written_rows: what the run has done.
        own_reads: how often our own programs have used sequences since, by number, but for dumps of the run.
    """
    before, now = archive.activity.get("sequence_uses"), count_sequence_reads(connection)
    if before is None:
        return {name: "the backup does not say how often it was used" for name, _reads in now.values()}
    per_dump = _count_dump_uses(connection)
    dumps = per_dump * written_rows.dumps
    known = per_dump + dumps  # the backup itself
    found = {}
    for oid, (name, base) in before.items():
        if oid in now or oid in written_rows.reads:
            total = now[oid][1] if oid in now else written_rows.reads[oid]
            if total > base + known + written_rows.used.get(oid, 0) + own_reads[oid]:
                found[name] = _OTHERS
        else:
            found[name] = "nothing shows who had used it before it was dropped"
    names = {name for name, _base in before.values()}
    for oid, (name, total) in now.items():
        # Another sequence of that name, which the run has made.
        if oid not in before and name in names and total > dumps + written_rows.used.get(oid, 0) + own_reads[oid]:
            found[name] = "others have used the one that took its place"
    return {**found, **dict.fromkeys(written_rows.set_forward, "a downgrade had set it back, and others had used it")}


def list_sequence_changes(
    connection: Connection,
    archive: Archive,
    written_rows: WrittenRows,
    positions: dict[str, tuple[int, bool]],
    now_at: Positions,
    own_reads: Counter[str],
) -> list[str]:
    """Return in words the sequences that others have moved since a backup, or may have.

    Args:
        connection: our own.
        archive: the backup.
        written_rows: what the run has done.
        positions: the sequences of the archive, by quoted name.
        now_at: those of the database, read before.
        own_reads: as for ``find_used_by_others``.
    """
    used = find_used_by_others(connection, archive, written_rows, own_reads)
    found = []
    for name, was in positions.items():
        here = now_at.get(name)
        if name not in used or (here and here[:2] == was):
            continue
        # A statement that failed has moved it for good, and nothing says whose it was.
        words = f"to {_format_position(*here[:2])}, and it is unknown who has used it" if here else "and is gone"
        found.append(f"sequence {name} went from {_format_position(*was)} {words} ({used[name]})")
    return found


def _format_position(value: int, given: bool) -> str:
    return str(value) if given else f"{value}, not given out yet"


def read_positions(engine: PostgreSQLSession) -> Positions:
    """Return the positions of sequences."""
    return engine.open_own_connection().run(read_sequence_positions)


def is_behind(position: tuple[int, bool], other: tuple[int, bool], increment: int) -> bool:
    """Return whether a sequence would give out a value again that it has given out at another position."""
    following, next_of_other = (value + increment * given for value, given in (position, other))
    return following < next_of_other if increment > 0 else following > next_of_other


def set_forward(
    engine: PostgreSQLSession, before: Positions, archive: Archive | None, written_rows: WrittenRows
) -> dict[str, str]:
    """Set sequences forward that downgrades have set behind what others were given, and return them, each with a note.

    Args:
        engine: of the database.
        before: the positions before the downgrades.
        archive: the backup of the run; without one nothing says that others have not used a sequence.
        written_rows: what the run has done, its downgrades included.
    """
    own = engine.open_own_connection()
    close_sessions_of_run(engine)  # they hand in what they have counted when they end
    used = own.run(find_used_by_others, archive, written_rows, engine.sequence_reads) if archive else None
    now = read_positions(engine)
    notes = {}
    for name, was in before.items():
        here = now.get(name)
        if was is None or here is None or not is_behind(here[:2], was[:2], here[3]):
            continue
        if (
            used is not None
            and name not in used
            and not own.run(_was_used, was[2], written_rows, engine.sequence_reads)
        ):
            continue
        if not own.run(_set_forward, name, was, here[3]):
            continue
        engine.sequence_reads[here[2]] += 1
        notes[name] = f"sequence {name} was set forward from {here[0]} to {was[0]}: others may have used it"
    return notes


def _set_forward(connection: Connection, name: str, to: tuple[int, bool, str, int], increment: int) -> bool:
    """Set a sequence unless it is not behind any more: others may have used it since it was read."""
    value, given = to[:2]
    quoted_name, behind = escape_colons(name), "<" if increment > 0 else ">"
    statement = (
        f"select setval(cast(:name as regclass), :value, :given) from {quoted_name} where"
        f" last_value + case when is_called then cast(:step as numeric) else 0 end {behind} cast(:following as numeric)"
    )
    following = value + increment * given
    parameters = {"name": name, "value": value, "given": given, "step": increment, "following": following}
    return bool(execute(connection, statement, parameters))


def _was_used(connection: Connection, oid: str, written_rows: WrittenRows, own_reads: Counter[str]) -> bool:
    """Return whether others had used a sequence that the run has made and dropped again."""
    dumps = _count_dump_uses(connection) * written_rows.dumps
    return written_rows.reads.get(oid, 0) > dumps + written_rows.used.get(oid, 0) + own_reads[oid]


def _count_dump_uses(connection: Connection) -> int:
    """Return how often each dump of all data uses a sequence, as the server counts."""
    return int(read_major_version(connection) >= _READS_ALL_SINCE)


def list_used_by_dump(connection: Connection) -> list[str]:
    """Return the numbers of the sequences that a dump of data uses, of whatever tables."""
    return list(count_sequence_reads(connection)) if _count_dump_uses(connection) else []
