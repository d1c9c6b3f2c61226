# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A copy of a file in a private folder, and what a rehearsal wants to know of it."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..._core.paths import lock_folder, make_private_directory, try_lock
from ..._core.run_as import admit
from ..comparison import Comparison
from ..connection import unwrap_connection
from ..data import Archive, Content, RetainedCopy, WrittenRows
from ..interface import Report, Scratch
from ..rehearser import Rehearser
from ..sql import quote_name
from .catalog import query_rows
from .compare import compare
from .engine import SQLite
from .probe import keep_raw_text, open_read_only

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_MASK = (1 << 64) - 1


class SQLiteRehearser(Rehearser):
    """Makes copies in folders of their own."""

    def __init__(self, engine: SQLite) -> None:
        self.engine = engine

    @contextmanager
    def open_scratch(self, archive: Archive, report: Report) -> Iterator[Scratch]:
        """Make a folder for a copy, and remove it at the end."""
        with self._lock_folder():
            folder = make_private_directory(self._scratches / secrets.token_hex(4))
            lock = _try_lock(folder)
            _remove_leftovers(self._scratches)
        if lock is None:
            raise Refused(
                f"The scratch folder {folder} is in use",
                "another rehearsal of this database works in it",
                "Wait until that one has ended, then rehearse again",
                code="rehearsal-folder-in-use",
            )
        try:
            path = folder / self.engine.path.name
            url = self.engine.url.set(database=str(path))
            text = url.render_as_string(hide_password=False)
            engine: Any = type(self.engine)(
                replace(self.engine.database, url=text, direct_url=None), url, self.engine.job
            )

            self._give_to_owner(folder, engine)

            def fill() -> list[str]:
                engine.close()
                _fill(archive.path, path, engine.act_as_owner)
                return []

            try:
                yield Scratch(engine, fill)
            finally:
                engine.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def _give_to_owner(self, folder: Path, engine: Any) -> None:
        """Let the user whose file is copied work with the copy, where that is not us."""
        if os.geteuid() != 0:
            return
        engine.real_owner = self.engine.read_owner()
        user = self.engine.find_user()
        if user:
            os.chown(folder, user.uid, user.gid)
            admit(user, self.engine.job.layout.root, self._scratches.parent, self._scratches, folder)

    def list_scratches(self) -> list[RetainedCopy]:
        """Read the folders that no session has locked."""
        if not self._scratches.is_dir():
            return []
        with self._lock_folder():
            return [_describe_copy(path) for path in sorted(self._scratches.iterdir()) if _is_free(path)]

    def drop_scratch(self, scratch: RetainedCopy) -> None:
        """Remove a folder, if no session has locked it."""
        path = Path(scratch.name)
        with self._lock_folder():
            if _is_free(path):
                shutil.rmtree(path)

    @property
    def _scratches(self) -> Path:
        return self.engine.job.layout.locate_scratches(self.engine.database.name)

    def _lock_folder(self) -> AbstractContextManager[int]:
        """Lock the folder: no other process makes or removes folders meanwhile."""
        return lock_folder(make_private_directory(self._scratches))

    def read_contents(self, connection: Connection, leave_out: frozenset[str], in_full: bool) -> dict[str, Content]:
        """Read every value; sums do not depend on the order of rows."""
        statement = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'"
        found = {}
        for (name,) in query_rows(connection, statement):
            if f"main.{name}" not in leave_out:
                found[name] = _read_content(connection, name) if in_full else _count(connection, name)
        return found

    def measure_disk_usage(self) -> int:
        """Count the file and what SQLite has beside it now."""
        paths = [Path(f"{self.engine.path}{suffix}") for suffix in ("", "-wal", "-journal")]
        return sum(path.stat().st_size for path in paths if path.exists())

    def compare_copy(
        self, before: Any, archive: Archive, leave_out: frozenset[str], in_full: bool, report: Report
    ) -> Comparison:
        """Compare with the backup that it is a copy of."""
        if not self.engine.is_present():
            return Comparison()
        report("compares the copy with its backup")
        written_rows = WrittenRows([], version_tables=leave_out, is_open=True)
        written: frozenset[str] | None = None if in_full else frozenset()
        return compare(
            self.engine.path,
            archive,
            written_rows,
            self.engine.path.stat().st_size,
            self.engine.act_as_owner,
            written,
            is_copy=True,
        )


def _count(connection: Connection, table: str) -> Content:
    return Content(query_rows(connection, f"select count(*) from {quote_name(table)}")[0][0])


def _read_content(connection: Connection, table: str) -> Content:
    """Digest a table; digests of one process cannot be compared with those of another."""
    # Hidden (1) are those of a virtual table that belong to its module: FTS5's has another value for each cursor.
    columns = sorted(
        row[1] for row in query_rows(connection, f"pragma table_xinfo({quote_name(table)})") if row[6] != 1
    )
    selected = ", ".join(map(quote_name, columns)) or "null"
    sums = dict.fromkeys(columns, 0)
    count = whole = 0
    with keep_raw_text(unwrap_connection(connection)):
        for row in connection.exec_driver_sql(f"select {selected} from {quote_name(table)}"):
            count += 1
            values = [repr(value) for value in row]
            # Of one text: hashes of tuples add up to the same too often.
            whole = (whole + hash(repr(values))) & _MASK
            for column, value in zip(columns, values):
                sums[column] = (sums[column] + hash(value)) & _MASK
    return Content(count, str(whole), {column: str(total) for column, total in sums.items()})


def _fill(dump: Path, path: Path, acting: Callable[[], AbstractContextManager[None]]) -> None:
    """Copy a backup over whatever is there; a folder means a file that was not there."""
    if dump.is_dir():
        for suffix in ("", "-wal", "-shm", "-journal"):
            with acting():
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        return
    # Page by page and under its locks: a connection that env.py has kept open sees the new content.
    with open_read_only(dump) as source, acting(), closing(sqlite3.connect(path)) as copy:
        copy.execute("pragma synchronous = off")
        source.backup(copy)
        os.chmod(path, 0o600)


def _try_lock(folder: Path) -> int | None:
    """Lock a folder for as long as this process has it open, or return None if another has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _is_free(folder: Path) -> bool:
    lock = _try_lock(folder)
    if lock is not None:
        os.close(lock)
    return lock is not None


def _describe_copy(folder: Path) -> RetainedCopy:
    made = datetime.fromtimestamp(folder.stat().st_mtime, timezone.utc).isoformat(timespec="seconds")
    return RetainedCopy(str(folder), "", made, sum(path.lstat().st_size for path in folder.iterdir()))


def _remove_leftovers(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        lock = _try_lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
