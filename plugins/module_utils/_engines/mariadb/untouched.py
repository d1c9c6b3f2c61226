# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that a database itself was not changed while it was rehearsed, as far as the server shows that.

The user of a copy may not change the database, but a revision that knows the password of another one may do that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._core.errors import Failed, describe_first
from .catalog import read_fingerprint
from .same_name import TABLE_IS_HERE

if TYPE_CHECKING:
    from .session import MariaDBSession

_WRITTEN = f"""
select table_name, update_time from information_schema.tables
 where {TABLE_IS_HERE} and table_type <> 'VIEW' and update_time is not null
"""
_MOST_NAMED = 5
_LONGEST = 100


@dataclass(frozen=True)
class Untouched:
    """The state of a database when its rehearsal began."""

    fingerprint: list[str]
    #: When each table was written last, as the server remembers it.
    written: dict[str, str]

    @classmethod
    def of(cls, engine: MariaDBSession) -> Untouched:
        """Read it."""
        own = engine.open_own_connection()
        written = {str(name): str(moment) for name, moment in own.query_rows(_WRITTEN)}
        return cls(own.run(read_fingerprint, frozenset()), written)

    def check(self, engine: MariaDBSession) -> list[str]:
        """Read it again, and return in words which tables were written since.

        Raises:
            Failed: its definitions were changed.
        """
        now = Untouched.of(engine)
        changed = sorted({*self.fingerprint} ^ {*now.fingerprint})
        if changed:
            raise Failed(
                f"Database {engine.database.name!r} itself was changed while it was rehearsed",
                "; ".join(line[:_LONGEST] for line in changed[:_MOST_NAMED]),
                "Another session did that, or a revision by a program or a connection with another user's password:"
                " find out which before you migrate",
                code="rehearsal-database-changed",
            )
        names = sorted(name for name, moment in now.written.items() if self.written.get(name) != moment)
        if not names:
            return []
        words = (
            f"while it was rehearsed, rows were written in the database itself ({describe_first(names, _MOST_NAMED)}):"
            " by its applications, or by what a revision has hidden from this rehearsal"
        )
        return [words]
