# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The revisions that a release holds."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import Refused
from .._core.revisions import CONTRACT, EXPAND, Heads, Revision, Stream
from .alembic_import import CommandError, ScriptDirectory
from .locations import Locations
from .steps import list_heads_after

if TYPE_CHECKING:
    from .._engines.interface import Engine


class Revisions(ABC):
    """Questions about the revisions of an environment; env.py may name more folders of them."""

    script: ScriptDirectory
    locations: Locations
    engine: Engine

    @property
    @abstractmethod
    def target(self) -> str:
        """Return what Alembic is to upgrade to."""

    @abstractmethod
    def read_streams(self, instance: str = "") -> list[Stream]:
        """Run env.py without letting it change anything."""

    def can_be_undone(self, revision: str) -> bool:
        """Return whether a revision has a downgrade at all."""
        return hasattr(self.script.get_revision(revision).module, "downgrade")

    def list_applied(self, heads: Heads) -> set[str]:
        """Return all revisions that are applied when these are the heads.

        Raises:
            CommandError: this release does not know one of them.
        """
        if not heads:
            return set()
        if not all(self._has(head) for head in heads):
            self._learn_locations()
        return {script.revision for script in self.script.iterate_revisions(heads, "base")}

    def has_revision(self, revision: str) -> bool:
        """Return whether this release holds a revision."""
        if not self._has(revision):
            self._learn_locations()
        return self._has(revision)

    def _has(self, revision: str) -> bool:
        try:
            return self.script.get_revision(revision) is not None
        except CommandError:
            return False

    def _learn_locations(self) -> None:
        """Run env.py once to hear where its revisions are, if it has not run yet: it may name other folders."""
        if self.locations.are_known or not self.engine.is_present():
            return
        self.locations.are_known = True
        with suppress(Refused):
            self.read_streams()

    def list_applied_below(self, heads: Iterable[str]) -> set[str]:
        """Return all revisions at and below some heads, without those that this release does not know."""
        return {revision for head in heads if self.has_revision(head) for revision in self.list_applied((head,))}

    def hash_revision(self, revision: str) -> str:
        """Return the digest of a revision's file, or nothing if it cannot be read."""
        try:
            return hashlib.sha256(Path(self.script.get_revision(revision).path).read_bytes()).hexdigest()
        except OSError:
            return ""

    def _plan_stream(self, table: str, heads: Heads) -> Stream:
        steps = self._list_steps_ahead(heads)
        pending = tuple(Revision(step.revision.revision, step.revision.doc or "") for step in steps)
        return Stream(
            table, tuple(sorted(heads)), pending, list_heads_after(heads, steps), self._list_unexpanded(heads)
        )

    def _list_unexpanded(self, heads: Heads) -> tuple[str, ...]:
        """Return what is missing of the expanding branch, where the target is to contract."""
        if self.target != f"{CONTRACT}@head":
            return ()
        missing = self.script._upgrade_revs(f"{EXPAND}@head", heads)  # type: ignore[arg-type]
        return tuple(step.revision.revision for step in missing)

    def _list_steps_ahead(self, heads: Heads) -> list[Any]:
        return list(self.script._upgrade_revs(self.target, heads))  # type: ignore[arg-type]

    def _name_below(self, committed: dict[str, list[str]]) -> str:
        """Return the argument of ``alembic downgrade`` that would undo the same in the first version table."""
        first = next((revisions[0] for revisions in committed.values() if revisions), "")
        down = self.script.get_revision(first).down_revision if first and self.has_revision(first) else None
        return (down if isinstance(down, str) else down[0]) if down else "base"
