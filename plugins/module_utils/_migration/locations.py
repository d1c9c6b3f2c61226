# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folders that a release's revisions are in: env.py may name others than the configuration, as late as it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Locations:
    """The locations of one ScriptDirectory, and the revisions that were loaded from them."""

    def __init__(self, script: Any, source: Path) -> None:
        self._script = script
        self._source = source
        self._loaded = self.named
        #: Whether env.py has run, so that what it names is known.
        self.are_known = False

    def __str__(self) -> str:
        return ", ".join(map(str, self._folders())) or "any folder"

    @property
    def named(self) -> list[str]:
        """Return the locations that were named, none for the default one."""
        return [str(location) for location in self._script.version_locations or ()]

    def take(self, named: list[str]) -> None:
        """Use the locations that env.py has named in another process."""
        self.are_known = True
        if named != self.named:
            self._script.version_locations = list(named)
        self.follow()

    def follow(self) -> None:
        """Load the revisions anew if env.py has named other locations, as Alembic does by loading them late."""
        if self.named == self._loaded:
            return
        self._loaded = self.named
        vars(self._script).pop("_version_locations", None)
        self._script.revision_map = type(self._script.revision_map)(self._script._load_revisions)

    def are_empty(self) -> bool:
        """Return whether there is no revision."""
        return not self._script.get_heads()

    def outside(self) -> list[str]:
        """Return the folders that are not part of the release: what is in them changes without a new release."""
        inside = self._source.resolve()
        folders = {*self._folders(), Path(self._script.dir)}
        found = {folder.resolve() for folder in folders}
        return sorted(str(folder) for folder in found if folder != inside and inside not in folder.parents)

    def _folders(self) -> list[Path]:
        found = self._script._version_locations  # a property that each release of Alembic has
        return [Path(folder).absolute() for folder in ([found] if isinstance(found, str) else found)]
