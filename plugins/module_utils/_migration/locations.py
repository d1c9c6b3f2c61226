# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folders that a release's revisions are in: env.py may name others than the configuration, as late as it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .alembic_import import ScriptDirectory


class LateScripts(ScriptDirectory):
    """The revisions of a release, which env.py finds as if they were not loaded yet.

    Alembic loads them when they are first needed: where env.py names other locations before that, from those.
    """

    #: What has them loaded; none while nothing follows env.py.
    locations: Locations | None = None

    @property
    def revision_map(self) -> Any:
        """The revisions, from the locations of the moment in which env.py first needed them."""
        if self.locations:
            self.locations.load_late()
        return vars(self)["revision_map"]

    @revision_map.setter
    def revision_map(self, revisions: Any) -> None:
        vars(self)["revision_map"] = revisions


class Locations:
    """The locations of one ScriptDirectory, and the revisions that were loaded from them."""

    def __init__(self, script: Any, source: Path) -> None:
        self._script = script
        self._source = source
        self._configured = self._loaded = self.named
        self._is_loaded = True
        #: Whether env.py has run, so that what it names is known.
        self.are_known = False
        script.__class__ = LateScripts
        script.locations = self

    def __str__(self) -> str:
        return ", ".join(map(str, self._list_folders())) or "any folder"

    @property
    def named(self) -> list[str]:
        """Return the locations that are named, none for the default one."""
        return [str(location) for location in self._script.version_locations or ()]

    @property
    def loaded(self) -> list[str]:
        """Return the locations that were named when the revisions were loaded."""
        return self._loaded

    @contextmanager
    def allow_late(self) -> Iterator[None]:
        """Let env.py, which runs meanwhile, name others until it or Alembic needs a revision."""
        self._is_loaded = False
        try:
            yield
        finally:
            self.load_late()

    def load_late(self) -> None:
        """Load the revisions from what is named now, if env.py has just begun and nothing has needed them before."""
        if not self._is_loaded:
            self._is_loaded = True
            self._follow()

    def take(self, named: list[str]) -> None:
        """Use the locations that env.py has named in another process."""
        self.are_known = True
        if named != self.named:
            self._script.version_locations = list(named)
        self._follow()

    def may_be_named_by_env(self) -> bool:
        """Return whether env.py has named the locations, or may do so another time: then only running it shows."""
        if self._loaded != self._configured:
            return True
        env_py = Path(self._script.dir) / "env.py"
        return not env_py.is_file() or b"version_locations" in env_py.read_bytes()

    def _follow(self) -> None:
        if self.named == self._loaded:
            return
        self._loaded = self.named
        vars(self._script).pop("_version_locations", None)
        self._script.revision_map = type(vars(self._script)["revision_map"])(self._script._load_revisions)

    def are_empty(self) -> bool:
        """Return whether there is no revision."""
        return not self._script.get_heads()

    def list_outside(self) -> list[str]:
        """Return the folders that are not part of the release: what is in them changes without a new release.

        Each has the name by which it was found: that may be a link, or be below one.
        """
        inside = self._source.resolve()
        folders = {*self._list_folders(), Path(self._script.dir).absolute()}
        return sorted(str(folder) for folder in folders if not folder.resolve().is_relative_to(inside))

    def _list_folders(self) -> list[Path]:
        found = self._script._version_locations  # a property that each release of Alembic has
        return [Path(folder).absolute() for folder in ([found] if isinstance(found, str) else found)]
