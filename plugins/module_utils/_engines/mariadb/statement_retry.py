# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A statement of DDL that did not get its lock, tried again where it is.

Elsewhere a revision that did not get a lock is rolled back and run again. Here it has committed with each statement,
so it can only go on. DDL commits what was before it and then fails as a whole. Of all others a part may be done, and a
deadlock has rolled back what was before them, so their errors are the revision's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._core.job import count_seconds_left
from ..connection import OWN, find_errno
from .lock_attempts import retry_until_locked
from .statements import is_single_ddl

if TYPE_CHECKING:
    from ..._core.job import Job

#: Lock wait timeout exceeded, and deadlock found.
LOCK_TIMEOUTS = (1205, 1213)


class StatementRetry:
    """A wrapper that SQLAlchemy calls in place of a driver's execute."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
        """Execute a statement with parameters; true if it was done here."""
        return self._retry(statement, context, lambda: cursor.execute(statement, parameters))

    def execute_plain(self, cursor: Any, statement: str, context: Any) -> bool | None:
        """Execute a statement without parameters."""
        return self._retry(statement, context, lambda: cursor.execute(statement))

    def _retry(self, statement: str, context: Any, attempt: Any) -> bool | None:
        if context.dialect.name not in ("mysql", "mariadb") or not is_single_ddl(statement):
            return None
        if context.root_connection.get_execution_options().get(OWN):
            return None
        patience = min(self._job.lock_wait, count_seconds_left(self._job) or self._job.lock_wait)
        retry_until_locked(patience, attempt, lambda error: find_errno(error) in LOCK_TIMEOUTS)
        return True
