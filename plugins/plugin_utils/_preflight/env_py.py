# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that Alembic's env.py, and a revision, are there, as far as the configuration shows."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tomllib

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._release.exclusions import Exclusions
from ansible_collections.hosting.alembic.plugins.module_utils._release.source import Source

_FALSE = ("", "0", "false", "no", "off")


def refuse_without_env_py(source: Path, options: Mapping[str, object], exclude: Sequence[str] = ()) -> None:
    """Refuse a source whose script directory has no env.py or no revision, or an env.py that is not shipped.

    Args:
        source: the migrations directory.
        options: ``migrate_alembic_options``, which outrank the configuration.
        exclude: ``migrate_exclude``.

    Raises:
        Refused: it is not there. Where a package holds the script directory, only the host can find out.
    """
    named = [str(options["script_location"])] if options.get("script_location") else list(read_named(Source(source)))
    if not named or any(":" in location for location in named):
        return
    folders = [folder for location in named for folder in _list_folders(source, location)]
    if Source(source).is_script_directory and not options.get("script_location"):
        folders = [source]  # what a configuration in it names is right only in the project that it was taken from
    found = [folder / "env.py" for folder in folders if (folder / "env.py").is_file()]
    if not found:
        raise Refused(
            f"There is no env.py in {folders[0]}",
            "script_location names this folder as Alembic's script directory",
            "Correct script_location, migrate_alembic_options or migrate_source",
            code="env-py-missing",
        )
    if any(_is_left_out(path, source, exclude) for path in found):
        raise Refused(
            f"{found[0]} is not shipped",
            "migrate_exclude leaves it out",
            "Correct migrate_exclude",
            code="env-py-missing",
        )
    _refuse_without_revisions(source, options, exclude, found)


def _refuse_without_revisions(
    source: Path, options: Mapping[str, object], exclude: Sequence[str], env_py: Sequence[Path]
) -> None:
    """Refuse a source that holds no revision, where the configuration names the folders of all of them."""
    named = str(options.get("version_locations") or next(read_named(Source(source), "version_locations"), ""))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in env_py]
    # A package is on the host; env.py may name other folders; compiled files show nothing here.
    configured_elsewhere = ":" in named or any("version_locations" in text for text in texts)
    sourceless = str(options.get("sourceless") or next(read_named(Source(source), "sourceless"), "false"))
    locations = re.split(r"[\s,;]+", named.strip()) if named else []
    folders = [folder for location in locations for folder in _list_folders(source, location)]
    if configured_elsewhere or sourceless.lower() not in _FALSE or not all(folder.is_dir() for folder in folders):
        return
    folders = folders or [path.parent / "versions" for path in env_py]
    # What is not a file, a FIFO for example, may never end; what packs the source refuses it by its name.
    files = [path for folder in folders for path in folder.rglob("*.py") if path.is_file()]
    if any(_holds_a_revision(path) for path in files if not _is_left_out(path, source, exclude)):
        return
    raise Refused(
        f"There is no revision in {', '.join(map(str, folders))}",
        "a release without a revision would leave every database as it is",
        "Correct migrate_source, or add a revision with `alembic revision`",
        code="release-empty",
    )


def _holds_a_revision(path: Path) -> bool:
    return "revision" in path.read_text(encoding="utf-8", errors="replace")


def _is_left_out(path: Path, source: Path, exclude: Sequence[str]) -> bool:
    if not path.is_relative_to(source):
        return False
    exclusions = Exclusions(exclude)
    folders = [parent for parent in path.parents if parent != source and parent.is_relative_to(source)]
    return exclusions.hold(path, source, is_folder=False) or any(
        exclusions.hold(folder, source, is_folder=True) for folder in folders
    )


def read_named(source: Source, option: str = "script_location") -> Iterator[str]:
    """Yield what the configurations of a source give as an option; what cannot be read yields nothing."""
    ini = source.folder / "alembic.ini"
    if ini.is_file():
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(ini.read_text(encoding="utf-8"))
        except (configparser.Error, UnicodeDecodeError):
            return
        if parser.has_option("alembic", option):
            yield parser.get("alembic", option).strip()
            return
    if source.toml:
        try:
            section = tomllib.loads(source.toml.read_text(encoding="utf-8")).get("tool", {}).get("alembic", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            return
        if section.get(option):
            value = section[option]
            yield "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _list_folders(source: Path, location: str) -> list[Path]:
    """Return where a script directory may be: Alembic counts from the configuration or from the working directory."""
    place = location.replace("%(here)s", str(source)).replace("%%", "%")
    return [source / place]
