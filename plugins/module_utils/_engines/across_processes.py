# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of an engine for an env.py in another process than the one that answers for the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .._core.run_as import User, choose_user

if TYPE_CHECKING:
    from .._core.job import Database, Job


class Reports(Protocol):
    """Reports from env.py's process to the one that answers for the database."""

    def report_write_start(self, version: int) -> None:
        """Report that env.py's connection is about to write, and which version of the database it sees."""

    def compare_versions(self) -> None:
        """Have the versions compared that both processes see."""


class AcrossProcesses:
    """An engine that knows nothing by env.py's own connections, so that two processes need not exchange anything.

    The first methods are for the process that answers for the database, the others for the one that runs env.py.
    """

    database: Database
    job: Job

    def read_owner(self) -> int | None:
        """Return the number of the user whose files the database is, None where it is not files of this host."""
        return None

    def find_user(self) -> User | None:
        """Return the user that has to do what concerns the database, None where it is the one of this process.

        Raises:
            Refused: as ``choose_user``.
        """
        return choose_user(self.database.name, self.database.run_as or self.job.run_as, self.read_owner)

    def use_environment_process(self, environment: Any) -> None:
        """Take the environment that is about to open connections in another process."""

    def take_facts_there(self, facts: dict[str, Any]) -> None:
        """Take what ``collect_facts_there`` returned in env.py's process."""

    def note_write_start_there(self, version: int) -> None:
        """Hear that env.py's connection is about to write, and which version of the database it sees."""

    def compare_versions_there(self, read: Callable[[], int]) -> None:
        """Compare the versions that both processes see; ``read`` returns the other one."""

    def report_writes_to(self, reports: Reports) -> None:
        """Report to another process from now on."""

    def collect_facts_there(self) -> dict[str, Any]:
        """Return, as data, what env.py's connections have done until now and are about."""
        return {}

    def read_version_there(self) -> int:
        """Return the version of the database that env.py's connection sees."""
        return 0

    def close_opened(self) -> None:
        """Close what env.py has opened."""
