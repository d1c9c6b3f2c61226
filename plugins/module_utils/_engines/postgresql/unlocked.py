# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects that others can change although all tables are locked: they are read again before a commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._core.errors import Refused
from .catalog_changes import CatalogRows, read_catalog_rows
from .row_authors import Read
from .scope import match_scope
from .write_counters import count_large_object_rows

if TYPE_CHECKING:
    from ..connection import OwnConnection

#: By number, which a sequence keeps when it is moved away. One that was never used has no position.
_POSITIONS = f"""
select s.seqrelid::text, pg_sequence_last_value(c.oid) from pg_sequence s join pg_class c on c.oid = s.seqrelid
  join pg_namespace n on n.oid = c.relnamespace
 where {match_scope()}
   and case when c.relkind = 'S' and c.relpersistence <> 't' then has_sequence_privilege(c.oid, 'select') end
"""


@dataclass(frozen=True)
class Unlocked:
    """Large objects by what was counted of them, the schema, and the positions of sequences."""

    large_objects: int
    schema: CatalogRows
    sequences: dict[str, int | None]

    @classmethod
    def read(cls, own: OwnConnection, read: Read) -> Unlocked:
        """Read them.

        Args:
            own: sees what is committed.
            read: reads in the session that restores: it has locked the sequences that it has moved.
        """
        return cls(own.run(count_large_object_rows), own.run(read_catalog_rows), dict(read(_POSITIONS)))

    def refuse_changes(self, later: Unlocked, name: str) -> None:
        """Refuse to go on where something has changed meanwhile; what the session itself made has no place here.

        Args:
            later: read later.
            name: of the database, for people.

        Raises:
            Refused: others have changed it.
        """
        found = []
        if self.large_objects != later.large_objects:
            found.append("large objects were written while it was restored")
        if self.schema != later.schema:
            found.append("the schema was changed while it was restored")
        if any(later.sequences.get(number, value) != value for number, value in self.sequences.items()):
            found.append("sequences were used while it was restored")
        if found:
            raise Refused(
                f"A restore of {name!r} would lose what others wrote",
                "; ".join(found),
                "Stop what changes it, then restore again",
                code="changed-during-restore",
            )
