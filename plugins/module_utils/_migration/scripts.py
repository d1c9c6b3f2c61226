# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source as Alembic reads it: its configuration and its revisions."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from .._core.errors import Refused
from .._release.source import Source
from .alembic_import import Config, ScriptDirectory
from .explanations import describe_missing_package

#: The revisions of sources that are loaded already.
_LOADED: dict[Path, Any] = {}

#: The first Alembic that reads [tool.alembic] of a pyproject.toml.
_TOML_SINCE = (1, 16)


def build_configuration(source: Source, options: dict[str, str]) -> Config:
    """Return the configuration that ``alembic`` would have made here.

    Args:
        source: the shipped directory; it is also the working directory.
        options: main options to set on top of its own.

    Raises:
        Refused: its pyproject.toml requires a newer Alembic.
    """
    ini = source.find_ini(options)
    arguments: dict[str, Any] = {"file_": str(ini) if ini else None}
    if source.toml:
        _require_toml_support()
        arguments["toml_file"] = str(source.toml)
    config = Config(**arguments)
    if ini:
        # Alembic puts the folder there as it is; a % in its name would be read as the parser's own.
        config.file_config.set("DEFAULT", "here", _escape_percent(str(ini.absolute().parent)))
    if source.is_script_directory:
        config.set_main_option("script_location", _escape_percent(str(source.folder)))
    for name, value in options.items():
        # A relative place in an option is meant from the source, as %(here)s is in a file.
        config.set_main_option(name, str(value).replace("%(here)s", _escape_percent(str(source.folder))))
    return config


def set_url(config: Config, url: str, engine_name: str) -> None:
    """Set the URL of one database, and the name that env.py has for it.

    Args:
        config: Alembic's own.
        url: of the database.
        engine_name: what env.py calls it, if it is made from a template for several databases: for Alembic's own, their
            names are a main option, and each has a section with its URL.

    Raises:
        Refused: the configuration does not name it.
    """
    config.set_main_option("sqlalchemy.url", _escape_percent(url))
    names = list_engine_names(config)
    if engine_name and names:
        if engine_name not in names:
            raise Refused(
                f"Alembic's configuration names no database {engine_name!r}",
                f"its databases are: {', '.join(names)}",
                "Correct engine_name, or leave it out where env.py is not made from the multidb template",
                code="engine-name-unknown",
            )
        config.set_main_option("databases", engine_name)
        config.set_section_option(engine_name, "sqlalchemy.url", _escape_percent(url))


def list_engine_names(config: Config) -> list[str]:
    """Return what env.py calls its databases, where it is made from Alembic's template for several."""
    return [name for name in re.split(r",\s*", config.get_main_option("databases") or "") if name]


def load_script_directory(config: Config, source: Source) -> ScriptDirectory:
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
            describe_missing_package(error) or "Try `alembic heads` in the migrations directory",
            code="revisions-not-loadable",
        ) from error
    return script


def load_revisions(config: Config, source: Source) -> None:
    """Load the revisions of a source for this process and those that it forks.

    Raises:
        Refused: they do not load.
    """
    _LOADED[source.folder] = load_script_directory(config, source).revision_map


def _require_toml_support() -> None:
    import alembic  # noqa: PLC0415 - here it is known to be there

    version = tuple(int(part) for part in alembic.__version__.split(".")[:2])
    if version < _TOML_SINCE:
        raise Refused(
            "pyproject.toml configures Alembic, but the virtualenv's Alembic cannot read it",
            f"it is {alembic.__version__}, and [tool.alembic] came with 1.16",
            "Require alembic>=1.16, or add an alembic.ini",
            code="alembic-too-old",
        )


def _escape_percent(value: str) -> str:
    """Keep configparser from reading a percent sign."""
    return value.replace("%", "%%")
