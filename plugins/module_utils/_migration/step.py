# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One step of Alembic's, what it did, and its watchers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._core.results import StepFacts

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


@dataclass
class Step:
    """One revision that a run began. ``ran`` is Alembic's word for it; committed is what we read ourselves."""

    table: str
    revision: str
    message: str
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0
    ran: bool = False
    #: Rows were made permanent before its end: no rollback and no downgrade of the other revisions undoes that.
    wrote_early: bool = False
    error: BaseException | None = None
    #: Rows by table that it has written, as far as its engine counts them.
    wrote: dict[str, int] = field(default_factory=dict)
    #: The tables in which it updated or deleted some of them, ``ANY_TABLE`` where that is not known.
    replaced: set[str] = field(default_factory=set)
    #: The transactions that wrote it, and which numbers others may have been given meanwhile, where they have numbers.
    transactions: list[int] = field(default_factory=list)
    span: list[int] = field(default_factory=list)
    #: What its transactions kept to themselves: files of tables, and what they dropped.
    held: dict[str, list[str]] = field(default_factory=dict)
    #: How often it has read sequences, by number, and how often all sessions had read those that it dropped.
    used: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    #: Rows that all sessions had written into tables that it dropped, by number.
    written: dict[str, int] = field(default_factory=dict)
    has_savepoints: bool = False
    #: Whether its transaction goes on when Alembic leaves its block, so that nothing of it is committed then.
    is_open: bool = False
    #: Rows of catalogs that each of its transactions has replaced, by its number.
    catalog_rows: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    #: The statements that were permanent as soon as they had been executed, without their strings.
    permanent: list[str] = field(default_factory=list)
    #: Why it may have written where nothing counted it.
    unseen: list[str] = field(default_factory=list)

    def collect_written_rows(self) -> dict[str, Any]:
        """Return what the journal keeps of an upgrade's step to distinguish its rows from others'."""
        return {
            "wrote": self.wrote,
            "replaced": sorted(self.replaced),
            "transactions": self.transactions,
            "span": self.span,
            "held": self.held,
            "catalog_rows": self.catalog_rows,
            "used": self.used,
            "reads": self.reads,
            "written": self.written,
        }


def render_step(step: Step) -> StepFacts:
    """Return what a result shows of a step."""
    return {"revision": step.revision, "message": step.message, "seconds": step.seconds}


class Watcher:
    """The interface of those who hear what Alembic does in an upgrade or a downgrade. This one does nothing."""

    #: Whether it wants to know which rows savepoints wrote, which costs reading the tables.
    wants_rows_of_savepoints = False
    #: Whether it wants to know of each step in a transaction what the last one knows of all.
    wants_each_step = True

    def on_connection(self, connection: Connection) -> None:
        """Hear on which connection of env.py the next steps run."""

    def on_begin(self, step: Step, number: int, count: int) -> None:
        """Hear that a revision is about to run."""

    def on_begin_revision(self) -> None:
        """Hear that a revision's function is about to run, in its transaction."""

    def on_ran(self, step: Step) -> None:
        """Hear that a revision's function has returned; nothing is committed yet."""

    def on_failed(self, step: Step) -> None:
        """Hear that a revision's function has raised; what it wrote is known as far as it can be."""

    def on_left(self, step: Step) -> None:
        """Hear that Alembic has left the revision's block and continues with the next one."""

    def on_early_commit(self, step: Step) -> None:
        """Hear that a part of the step is about to be committed before its end, as by an autocommit block."""

    def on_execute(self, step: Step, statement: str) -> None:
        """Hear of a statement that will be permanent as soon as it has been executed; without its strings."""

    def on_early_write(self, step: Step) -> None:
        """Hear that rows are about to be made permanent before the step's end."""

    def on_define(self, step: Step, held: dict[str, list[str]]) -> None:
        """Hear what the step has defined that is permanent before its end, as kinds of ``held``."""

    def on_unseen_write(self, step: Step, reason: str) -> None:
        """Hear that the step may have written where nothing counts it."""
