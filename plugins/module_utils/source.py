# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A migrations directory on disk: which shape it has, and the Alembic configuration it asks for."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .alembic_library import Config, ScriptDirectory
from .errors import Refused

INI = "alembic.ini"

#: What a release without a configuration of its own gets.
PLAIN_INI = """\
# Written by hosting.alembic for a migrations directory without an alembic.ini.
[alembic]

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(levelname)s %(name)s %(message)s
"""

#: The revisions of sources that are loaded already.
_LOADED: dict[Path, Any] = {}

#: The first Alembic that reads [tool.alembic] of a pyproject.toml.
_TOML_SINCE = (1, 16)


@dataclass(frozen=True)
class Source:
    """A script directory, or a project folder whose configuration names one."""

    folder: Path

    def ini(self, options: dict[str, str]) -> Path | None:
        """Return the alembic.ini to read: the folder's own, or the one in the script directory that an option names.

        Flask-Migrate keeps it there. Where there is none, the release has a plain one beside its source, because many
        an env.py hands ``config_file_name`` to ``fileConfig`` without looking.
        """
        script_location = self.folder / str(options.get("script_location", "")).replace("%(here)s", str(self.folder))
        candidates = (self.folder / INI, script_location / INI, self.folder.parent / INI)
        return next((path for path in candidates if path.is_file()), None)

    @property
    def toml(self) -> Path | None:
        """Return pyproject.toml if it has a section for Alembic."""
        path = self._file("pyproject.toml")
        return path if path and "[tool.alembic" in path.read_text(encoding="utf-8") else None

    @property
    def is_script_directory(self) -> bool:
        """Tell whether env.py stands in the folder itself."""
        return (self.folder / "env.py").is_file()

    def _file(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None

    def check(self) -> None:
        """Look for what makes a folder a migrations directory.

        Raises:
            Refused: none of it is there.
        """
        if not (self.is_script_directory or self._file(INI) or self.toml or list(self.folder.glob(f"*/{INI}"))):
            raise Refused(
                f"{self.folder} is no migrations directory",
                "it holds neither env.py nor alembic.ini nor a pyproject.toml with [tool.alembic]",
                "Set migrate_source to the script directory or to the project folder",
            )


def configuration(source: Source, options: dict[str, str], url: str, x_arguments: tuple[str, ...]) -> Config:
    """Return the configuration that ``alembic`` would have made here, aimed at one URL.

    Args:
        source: the shipped directory; it is also the working directory.
        options: main options to set on top of its own.
        url: what ``sqlalchemy.url`` shall be.
        x_arguments: what would stand behind ``-x`` on the command line.

    Raises:
        Refused: its pyproject.toml asks for a newer Alembic.
    """
    ini = source.ini(options)
    arguments: dict[str, Any] = {"file_": str(ini) if ini else None}
    if source.toml:
        _require_toml_support()
        arguments["toml_file"] = str(source.toml)
    config = Config(**arguments)
    if ini:
        # Alembic puts the folder there as it is; a % in its name would be read as the parser's own.
        config.file_config.set("DEFAULT", "here", _escaped(str(ini.absolute().parent)))
    if source.is_script_directory:
        config.set_main_option("script_location", _escaped(str(source.folder)))
    for name, value in options.items():
        # A relative place in an option is meant from the source, as %(here)s is in a file.
        config.set_main_option(name, str(value).replace("%(here)s", _escaped(str(source.folder))))
    config.set_main_option("sqlalchemy.url", _escaped(url))
    config.cmd_opts = argparse.Namespace(
        config=config.config_file_name,
        name=config.config_ini_section,
        x=list(x_arguments),
        raiseerr=True,
        quiet=False,
        sql=False,
        tag=None,
        revision=None,
    )
    return config


def script_directory(config: Config, source: Source) -> ScriptDirectory:
    """Return the revisions of a source, loaded under its own working directory and import path.

    Raises:
        Refused: they do not load.
    """
    os.chdir(source.folder)
    if str(source.folder) not in sys.path:
        sys.path.insert(0, str(source.folder))
    try:
        script = ScriptDirectory.from_config(config)
        script.revision_map = _LOADED.get(source.folder, script.revision_map)
        script.get_heads()
    except (Exception, SystemExit) as error:
        raise Refused(
            "The revisions of the release do not load",
            f"{type(error).__name__}: {error}",
            "Try `alembic heads` in the migrations directory",
        ) from error
    return script


def load_revisions(config: Config, source: Source) -> None:
    """Load the revisions of a source for this process and those that it forks.

    Raises:
        Refused: they do not load.
    """
    _LOADED[source.folder] = script_directory(config, source).revision_map


def _require_toml_support() -> None:
    import alembic  # noqa: PLC0415 - here it is known to be there

    version = tuple(int(part) for part in alembic.__version__.split(".")[:2])
    if version < _TOML_SINCE:
        raise Refused(
            "pyproject.toml configures Alembic, but the virtualenv's Alembic cannot read it",
            f"it is {alembic.__version__}, and [tool.alembic] came with 1.16",
            "Require alembic>=1.16, or add an alembic.ini",
        )


def _escaped(value: str) -> str:
    """Keep configparser from reading a percent sign."""
    return value.replace("%", "%%")
