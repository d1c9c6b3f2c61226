# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of MariaDB: the tables that differ are replaced by those of the backup, and kept in a schema beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._core.errors import Refused
from ..connection import describe_error
from ..data import Archive, Restored, RetainedCopy
from ..interface import Guard, Report
from ..restorer import Restorer
from . import by_hand
from .beside import drop_left
from .compare import WrittenTables, name_all_tables
from .defaults import set_back, set_defaults
from .made_schemas import MadeSchemas
from .remaking import build_half_way_error, build_not_made_error
from .restore_method import choose_method
from .swap import Swap, end_or_undo
from .swap_state import DONE, IN, Replaced, list_replaced, read_tables, refuse_what_is_not_proven
from .undo import undo

if TYPE_CHECKING:
    from .session import MariaDBSession

_LONGEST_LINE = 80
#: The errors of a table that foreign keys refer to.
_REFERRED_TO = ("(1217,", "(1451,")


class MariaDBRestorer(Restorer):
    """Moves what differs out, and a backup's tables in."""

    restores_quickly = False
    restores_checked_copies = True

    def __init__(self, engine: MariaDBSession) -> None:
        self.engine = engine
        #: The restore that is at work, for the guard that compares with what it has loaded.
        self.at_work: Swap | None = None
        #: Which tables the run may have written that is reverted: the rows of others stay.
        self.written: WrittenTables = name_all_tables
        #: What no statement of a failed revision names, as lines of the fingerprint.
        self._of_others: list[str] = []

    def is_empty(self) -> bool:
        """Search for tables and sequences."""
        return not read_tables(self.engine.open_own_connection(), self.engine.name_on_server)

    def remove_unfinished(self, before: list[str], left: list[str], executed: list[str]) -> list[str]:
        """Remove all that a revision has left, if its statements name it and it holds nothing; else nothing."""
        undone = undo(self.engine, left, executed)
        self._of_others = undone.of_others
        return undone.lines

    def _refuse_definitions_of_others(self) -> None:
        """Refuse to restore over what others may have defined while the revision ran.

        Raises:
            Refused: there is any, and ``migrate_restore_loses_writes`` is not set.
        """
        if self._of_others and not self.engine.job.restore_loses_writes:
            raise Refused(
                f"Other sessions may have defined objects in database {self.engine.database.name!r}"
                " while the revision ran, and a restore would drop them",
                "no statement of the revision names " + "; ".join(line[:_LONGEST_LINE] for line in self._of_others),
                "Keep what they have defined, then set migrate_restore_loses_writes=true",
                code="others-wrote",
            )

    def restore(self, archive: Archive, run: str, report: Report, guard: Guard) -> Restored:
        """Restore by moving tables."""
        self._refuse_definitions_of_others()
        method = choose_method(self.engine)
        if method.obstacle:
            raise method.obstacle
        self.recover_interrupted_restore()
        self.at_work = Swap(self.engine, archive, run, report, self.written)
        try:
            with set_defaults(self.engine, archive.fingerprint):
                return self.at_work.run(guard)
        finally:
            self.at_work, self.written = None, name_all_tables

    def recover_interrupted_restore(self) -> list[str]:
        """Undo a restore that died, or bring it to its end; to be called with the lock on the database held.

        Raises:
            Refused: a schema says that there is one, and nothing shows that this host has made it.
        """
        own, made = self.engine.open_own_connection(), MadeSchemas.of(self.engine)
        refuse_what_is_not_proven(own, self.engine.name_on_server, made)
        replaced = list_replaced(own, self.engine.name_on_server, made)
        done = [self._end(found) for found in replaced if found.state.phase != DONE]
        set_back(self.engine)
        drop_left(self.engine)
        return done

    def _end(self, found: Replaced) -> str:
        try:
            ended = end_or_undo(self.engine, found)
        except Exception as error:
            raise build_half_way_error(self.engine, error) from error
        # Once: nothing of it keeps the next run from the database.
        if ended.not_made:
            raise build_not_made_error(self.engine, ended)
        return ended.words

    def list_retained(self) -> list[RetainedCopy]:
        """Return the schemas, or the prefixes of names, into which restores have moved what they replaced."""
        own = self.engine.open_own_connection()
        return [
            RetainedCopy(found.place.name, found.state.run, found.state.made, found.place.measure_size(own))
            for found in self._list_retained()
        ]

    def _list_retained(self) -> list[Replaced]:
        replaced = list_replaced(
            self.engine.open_own_connection(), self.engine.name_on_server, MadeSchemas.of(self.engine)
        )
        return [found for found in replaced if found.state.phase in (IN, DONE)]

    def drop_retained(self, copy: RetainedCopy) -> None:
        """Drop such tables.

        Raises:
            Refused: there are none, or a table elsewhere has a foreign key to one of them.
        """
        own = self.engine.open_own_connection()
        found = [each.place for each in self._list_retained() if each.place.name == copy.name]
        if not found:
            raise Refused(
                f"{copy.name!r} is not what a restore of {self.engine.database.name!r} retained",
                remedy="It was dropped meanwhile; run again",
                code="retained-copy-unknown",
            )
        (place,) = found
        bound = place.list_bound_from_outside(own)
        if bound:
            raise Refused(
                f"What is retained in {copy.name!r} is in use",
                f"foreign keys lead to it from {', '.join(bound)}",
                "Drop these foreign keys, then prune again",
                code="retained-copy-in-use",
            )
        try:
            place.drop(own)
        except Exception as error:
            if not any(number in str(error) for number in _REFERRED_TO):
                raise
            raise Refused(
                f"What is retained in {copy.name!r} is in use",
                f"foreign keys of a database that its user does not see lead to it ({describe_error(error)})",
                "Drop these foreign keys, then prune again",
                code="retained-copy-in-use",
            ) from error
        MadeSchemas.of(self.engine).forget(place.noted_as)

    def find_restore_rights(self, archive: Archive) -> tuple[str, dict[str, Any]] | None:
        """Return the grants that let the user restore."""
        return by_hand.find_restore_rights(self.engine, archive)

    def build_manual_command(self, archive: Archive) -> str:
        """Return the commands by which an administrator puts a dump in the place of the database."""
        return by_hand.build_manual_command(self.engine, archive)

    def build_user_command(self, archive: Archive) -> str:
        """Return the commands by which the user fills the database itself from a dump, nothing if he may not."""
        return by_hand.build_user_command(self.engine, archive)
