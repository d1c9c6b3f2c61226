# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A SQLite file whose env.py runs in another process: as the owner of the file, and witnessed from here."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..._core.run_as import User, act_as
from ..across_processes import AcrossProcesses, Reports
from .location import check_links, locate_file
from .write_witness import Version, WriteWitness, read_data_version
from .written_tables import WrittenTables

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


class _MigratingThere:
    """Replaces the driver's connection of env.py."""

    def __init__(self, in_transaction: bool) -> None:
        self.in_transaction = in_transaction


class _OpenedThere:
    """Replaces all connections that env.py has opened there."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment

    def close(self) -> None:
        """Close them."""
        self._environment.close_env_connections()


class SQLiteAcrossProcesses(AcrossProcesses):
    """The part of the engine that speaks with itself in another process."""

    path: Path
    url: URL
    write_witness: WriteWitness
    written: WrittenTables
    migrating: Any
    opened: list[Any]
    _reports: Reports | None = None
    #: env.py's connection, in its own process.
    _of_env: Any = None
    #: Whose files a copy is to be.
    real_owner: int | None = None
    #: Who is to open it, once that is known.
    _user: tuple[User | None] | None = None

    def try_read_version(self) -> Version | None:
        raise NotImplementedError

    def holds_transaction(self) -> bool:
        raise NotImplementedError

    def close_env_connections(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection of our own."""
        raise NotImplementedError

    def read_owner(self) -> int | None:
        """Return the owner of the file, or of the folder that it will be made in.

        Raises:
            Refused: a link or a second name leads to a file that the owner of the folder does not own.
        """
        if self.real_owner is not None:
            return self.real_owner
        check_links(locate_file(self.url.database), self.database.name)
        folder = next(folder for folder in self.path.parents if folder.is_dir())
        found = os.stat(folder)
        try:
            file = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return found.st_uid
        if file.st_nlink > 1 and found.st_uid not in (0, file.st_uid):
            raise Refused(
                f"The file of database {self.database.name!r} has other names, and another owner than its folder",
                f"{self.path} belongs to user id {file.st_uid}, and {folder} to user id {found.st_uid}",
                "Remove the other name, or name the user in migrate_run_as",
                code="sqlite-file-linked",
            )
        return file.st_uid

    def act_as_owner(self) -> AbstractContextManager[None]:
        """Open files inside of the block with the rights of the user whose they are: a customer may exchange a name."""
        if os.geteuid() != 0:
            return nullcontext()
        if self._user is None:
            self._user = (self.find_user(),)
        return act_as(self._user[0])

    def find_run_owner(self) -> int | None:
        """Return whose the file was when it was opened first, or None where another user was named."""
        if os.geteuid() != 0 or self.database.run_as or self.job.run_as:
            return None
        self.act_as_owner()
        user = self._user[0] if self._user else None
        return user.uid if user else 0

    def use_environment_process(self, environment: Any) -> None:
        """Have the connections there closed before the file is replaced."""
        self.opened.append(_OpenedThere(environment))

    def take_facts_there(self, facts: dict[str, Any]) -> None:
        """Take whether env.py's connection is in a transaction, and which tables were written."""
        self.migrating = _MigratingThere(bool(facts["in_transaction"]))
        self.written.add_facts(facts["written"])

    def note_write_start_there(self, version: int) -> None:
        """Compare whether others wrote since the backup."""
        self.write_witness.note_write_start(self.try_read_version(), version)

    def compare_versions_there(self, read: Callable[[], int]) -> None:
        """Compare what both connections see: ours first."""
        self.write_witness.compare_versions(self.try_read_version, read)

    def report_writes_to(self, reports: Reports) -> None:
        """Report to the process that has witnessed the file since before the backup."""
        self._reports = reports

    def collect_facts_there(self) -> dict[str, Any]:
        """Return whether env.py's connection is in a transaction, and which tables were written."""
        return {"in_transaction": self.holds_transaction(), "written": self.written.collect_new_facts()}

    def read_version_there(self) -> int:
        """Return the data_version of env.py's connection."""
        return read_data_version(self._of_env)

    def close_opened(self) -> None:
        """Close what env.py has opened, and what we have."""
        self.close_env_connections()
        self.close()
