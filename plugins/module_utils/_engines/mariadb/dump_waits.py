# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A limit for how long mariadb-dump waits for a lock: it knows no option for one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._core.errors import Failed
from .same_name import match_name

if TYPE_CHECKING:
    from .session import MariaDBSession

_EVERY = 1.0  # seconds
#: Sessions that were opened since, that wait, and that execute what mariadb-dump does.
_WAITING = f"""
select info from information_schema.processlist
 where id > :after and {match_name("db", ":schema")}
   and state like 'Waiting for %' and state like '%lock%' and time >= :seconds
   and (info like 'show %' or info like 'select /*!40001 %' or info like '%information_schema%')
"""


class DumpWaits:
    """A callback for ``run_tool`` while mariadb-dump works; an error ends the program, and its session's wait."""

    def __init__(self, engine: MariaDBSession, report: Callable[[float], None] = lambda _: None) -> None:
        """Note which sessions there are.

        Args:
            engine: of the database; the connection of its own is not used by another while the program works.
            report: is called as well, with the seconds since the program was started.
        """
        self._engine = engine
        self._report = report
        self._after = int(
            engine.open_own_connection().query_rows("select max(id) from information_schema.processlist")[0][0]
        )
        self._checked = time.monotonic()

    def __call__(self, seconds: float) -> None:
        """Check for a wait that is too long.

        Raises:
            Failed: there is one.
        """
        self._report(seconds)
        if time.monotonic() - self._checked < _EVERY:
            return
        self._checked = time.monotonic()
        limit = self._engine.job.backup_lock_wait
        schema = self._engine.name_on_server
        waiting = self._engine.open_own_connection().query_rows(
            _WAITING, after=self._after, schema=schema, seconds=limit
        )
        if waiting:
            raise Failed(
                f"Database {self._engine.database.name!r} is in use, so it cannot be dumped",
                f"mariadb-dump has waited {limit:g} s for a lock that another session holds: {waiting[0][0][:80]}",
                "End that session, or wait until it has ended; SHOW PROCESSLIST shows it",
                code="database-in-use",
            )
