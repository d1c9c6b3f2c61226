# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup by mariadb-dump, compared with the database before it counts.

Another session cannot share the snapshot of mariadb-dump, so the database is read before and after it: what the dump
holds has to lie between the two.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import CHECK_DISK, Failed
from ..._core.paths import sync
from ..connection import OwnConnection, execute
from ..data import Dump
from ..sql import escape_colons
from . import client_tools
from .catalog import SEQUENCE, TABLES, VERSIONED, read_fingerprint
from .dump_file import DumpContent, read_dump
from .dump_waits import DumpWaits
from .not_transactional import lock_for_dump
from .places import leave_out_ours
from .same_name import TABLE_IS_HERE, TRIGGER_IS_HERE, match_name

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..interface import Report
    from .session import MariaDBSession

FILE = "dump.sql"
#: Table definition has changed: it was made anew since the snapshot, as TRUNCATE does it.
_TABLE_CHANGED = "(1412)"
_ATTEMPTS = 3
#: The server knows in which second a table was written: what was written in this one is not in the next.
_SECOND = 1.0
_LONGEST_PACKET = 1 << 30
#: Objects besides tables, by kind.
_OTHERS = f"""
select 'view', count(*) from information_schema.views where {TABLE_IS_HERE}
union all select 'trigger', count(*) from information_schema.triggers where {TRIGGER_IS_HERE}
union all select 'event', count(*) from information_schema.events where {match_name("event_schema", "database()")}
union all select lower(routine_type), count(*) from information_schema.routines
 where {match_name("routine_schema", "database()")} group by 1
"""
#: When tables were made, and written last: one that is as before may have been another one meanwhile.
_TIMES = f"""
select table_name, coalesce(create_time, ''), coalesce(update_time, '') from information_schema.tables
 where {TABLE_IS_HERE} and table_type <> 'VIEW'
"""
_WHERE = "select concat(@@hostname, ':', @@port, @@datadir, '/', database())"
_OPTIONS = (
    "--single-transaction",
    "--routines",
    "--triggers",
    "--events",
    "--hex-blob",
    "--skip-dump-date",
    "--no-tablespaces",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
    # A row whose default reads a sequence cannot be inserted while only its own table is locked.
    "--skip-add-locks",
)


@dataclass(frozen=True)
class _State:
    """The state of the database at one moment."""

    moment: str
    fingerprint: list[str]
    #: When each table was made, and when another session has last written into it, as far as the server knows.
    made: dict[str, str]
    written: dict[str, str]
    tables: dict[str, str]
    others: Counter[str]
    counts: dict[str, int] | None


def write_dump(engine: MariaDBSession, folder: Path, count_rows: bool, report: Report) -> Dump:
    """Write a dump and prove it; where others changed the schema or many rows meanwhile, write it again.

    Args:
        engine: of the database.
        folder: an empty one.
        count_rows: also compare how many rows there are.
        report: is called with how far it is.

    Raises:
        Failed: mariadb-dump failed, or the dump does not hold what the database held.
    """
    tool = client_tools.find_required_tool("dump", engine.database.name)
    _refuse_other_server(engine)
    target = folder / FILE
    for attempt in range(1, _ATTEMPTS + 1):
        activity = engine.read_activity()
        before = _read_state_of_snapshot(engine, count_rows)
        noticed = _dump(engine, tool, target, before, report)
        after = _read_state_of_snapshot(engine, count_rows)
        if noticed or before.fingerprint != after.fingerprint or before.made != after.made:
            report(f"another session changed the schema during the dump ({attempt} of {_ATTEMPTS} attempts)")
            continue
        counts, not_exact = _prove_dump(engine, target, before, after)
        if not_exact:
            report(
                f"other sessions wrote into {', '.join(not_exact)} during the dump, so the number of their rows cannot"
                f" be compared ({attempt} of {_ATTEMPTS} attempts)"
            )
        if not not_exact or attempt == _ATTEMPTS:
            return Dump(target, f"mariadb-dump {tool.version}", counts if count_rows else None, activity)
        time.sleep(_SECOND)
    raise Failed(
        f"The backup of {engine.database.name!r} cannot be made",
        "other sessions changed the schema each time while it was dumped",
        "Wait until they have finished, and run again",
        code="schema-changes-meanwhile",
    )


def _dump(engine: MariaDBSession, tool: client_tools.Tool, target: Path, state: _State, report: Report) -> bool:
    """Run mariadb-dump, and return whether it failed because another session has changed a table.

    Raises:
        Failed: it failed for another reason.
    """
    with lock_for_dump(engine), open(target, "wb", opener=_open_private) as output:
        try:
            client_tools.run_tool(
                tool,
                [
                    *dump_options(state.tables.values()),
                    *leave_out_ours(engine.open_own_connection(), engine.name_on_server),
                    "--",
                    engine.name_on_server,
                ],
                engine.url,
                engine.driver,
                output=output,
                report=DumpWaits(
                    engine, lambda seconds: report(f"{target.stat().st_size:,} bytes dumped in {seconds:.0f} s")
                ),
            )
        except Failed as failure:
            if _TABLE_CHANGED not in failure.why:
                raise
            return True
    return False


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def dump_options(kinds: Iterable[str]) -> list[str]:
    """Return the options of a dump of tables of some kinds."""
    return [*_OPTIONS, *(["--dump-history"] if VERSIONED in kinds else [])]


def _refuse_other_server(engine: MariaDBSession) -> None:
    """Raise where the programs reach another server than the driver, by an option that only one of them knows."""
    client = client_tools.find_tool("client")
    if client is None:
        return
    # As it is: the name of a database may have anything in it, and the locale of a host knows nothing of that.
    words = ["--batch", "--raw", "--skip-column-names", "--default-character-set=utf8mb4"]
    words += [f"--execute={_WHERE}", f"--database={engine.name_on_server}"]
    there = client_tools.run_tool(client, words, engine.url, engine.driver).strip()
    here = str(engine.open_own_connection().query_rows(escape_colons(_WHERE))[0][0])
    if there != here:
        raise Failed(
            f"mariadb-dump would back up another database than {engine.database.name!r}",
            f"it reaches {there}, and the driver {here}",
            "Name host, port or unix_socket in the url, so that both find the same server",
            code="dump-elsewhere",
        )


def _prove_dump(
    engine: MariaDBSession, target: Path, before: _State, after: _State
) -> tuple[dict[str, int], list[str]]:
    """Compare a dump with the database; return its rows by table, and the tables whose rows could not be compared.

    Raises:
        Failed: it does not hold what the database held.
    """
    found = read_dump(target)
    if not found.is_complete:
        raise _build_invalid_failure(target, "its last line is missing")
    missing = sorted(set(before.tables) ^ set(found.rows))
    if missing:
        raise _build_invalid_failure(target, f"it and the database differ in their tables: {', '.join(missing[:5])}")
    if found.others != before.others:
        raise _build_invalid_failure(target, f"it holds {dict(found.others)} and the database {dict(before.others)}")
    not_exact = [name for name in before.tables if not _has_its_rows(target, name, found, before, after)]
    _refuse_too_long(engine, found)
    sync(target)
    kept = [name for name, kind in before.tables.items() if kind != SEQUENCE]
    return {f"{engine.name_on_server}.{name}": found.rows[name] for name in kept}, not_exact


def _refuse_too_long(engine: MariaDBSession, found: DumpContent) -> None:
    """Refuse a dump of which the server does not take each statement: it could not be loaded again.

    Raises:
        Failed: one is too long.
    """
    taken = int(engine.open_own_connection().query_rows("select @@global.max_allowed_packet")[0][0])
    if found.longest < taken:  # one byte more is sent
        return
    needed = (found.longest // 1024 + 1) * 1024
    remedy = f"An administrator types: set global max_allowed_packet = {needed}; and writes it into the configuration"
    if needed > _LONGEST_PACKET:
        remedy = "Set migrate_backup_command and migrate_backup_check_command to commands that can back it up"
    raise Failed(
        f"A backup of {engine.database.name!r} cannot be restored",
        f"a row of {found.longest_of} takes {found.longest:,} bytes in it, and the server accepts statements of"
        f" {taken:,} (max_allowed_packet)",
        remedy,
        code="dump-not-loadable",
    )


def _has_its_rows(target: Path, name: str, found: DumpContent, before: _State, after: _State) -> bool:
    """Return whether a dump has as many rows of a table as the database before or after it, or between.

    Raises:
        Failed: it has fewer or more, and no other session wrote into the table meanwhile.
    """
    if before.tables[name] in (SEQUENCE, VERSIONED) or before.counts is None or after.counts is None:
        return True
    seen = (before.counts[name], after.counts[name])
    if min(seen) <= found.rows[name] <= max(seen):
        return True
    # A queue may have been filled and emptied in between.
    if after.written[name] >= before.moment:
        return False
    raise _build_invalid_failure(
        target, f"it holds {found.rows[name]} rows of {name}, and the database {seen[0]} to {seen[1]}"
    )


def _build_invalid_failure(target: Path, why: str) -> Failed:
    return Failed(f"The dump {target} is not complete", why, CHECK_DISK, code="dump-invalid")


def _read_state_of_snapshot(engine: MariaDBSession, count_rows: bool) -> _State:
    own = engine.open_own_connection()
    with engine.shorten_lock_timeout(engine.job.backup_lock_wait), _open_snapshot(own):
        return own.run(_read_state, engine, count_rows)


def _read_state(connection: Connection, engine: MariaDBSession, count_rows: bool) -> _State:
    moment = str(execute(connection, "select now()")[0][0])
    schema = engine.name_on_server
    counted = engine.count_table_rows(connection) if count_rows else None
    counts = None if counted is None else {name[len(schema) + 1 :]: count for name, count in counted.items()}
    tables = {str(name): str(kind) for name, kind, _engine in execute(connection, TABLES)}
    others = Counter({str(kind): int(count) for kind, count in execute(connection, _OTHERS) if count})
    times = execute(connection, _TIMES)
    made, written = ({str(row[0]): str(row[place]) for row in times} for place in (1, 2))
    return _State(moment, read_fingerprint(connection, frozenset()), made, written, tables, others, counts)


@contextmanager
def _open_snapshot(own: OwnConnection) -> Iterator[None]:
    own.query_rows("start transaction with consistent snapshot, read only")
    try:
        yield
    finally:
        with suppress(Exception):  # the server may be gone
            own.query_rows("rollback")
