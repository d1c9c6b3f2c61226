# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A migrations directory on disk: which shape it has, and the Alembic configuration it requires."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .._core.errors import Refused
from .._core.paths import INI


@dataclass(frozen=True)
class Source:
    """A script directory, or a project folder whose configuration names one."""

    folder: Path

    def find_ini(self, options: dict[str, str]) -> Path | None:
        """Return the alembic.ini to read: the folder's own, or the one in the script directory that an option names.

        Flask-Migrate keeps it there. Where there is none, the release has a plain one beside its source, because many
        an env.py hands ``config_file_name`` to ``fileConfig`` unchecked.
        """
        script_location = self.folder / str(options.get("script_location", "")).replace("%(here)s", str(self.folder))
        candidates = (self.folder / INI, script_location / INI, self.folder.parent / INI)
        return next((path for path in candidates if path.is_file()), None)

    @property
    def toml(self) -> Path | None:
        """Return pyproject.toml if it has a section for Alembic."""
        path = self._find_file("pyproject.toml")
        return path if path and "[tool.alembic" in path.read_text(encoding="utf-8") else None

    @property
    def is_script_directory(self) -> bool:
        """Return whether env.py is in the folder itself."""
        return (self.folder / "env.py").is_file()

    def _find_file(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None

    def check(self) -> None:
        """Search for what makes a folder a migrations directory.

        Raises:
            Refused: none of it is there.
        """
        if not (self.is_script_directory or self._find_file(INI) or self.toml or list(self.folder.glob(f"*/{INI}"))):
            raise Refused(
                f"{self.folder} is not a migrations directory",
                "it holds neither env.py nor alembic.ini nor a pyproject.toml with [tool.alembic]",
                "Set migrate_source to the script directory or to the project folder",
                code="source-missing",
            )
