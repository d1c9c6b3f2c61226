# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks on the controller, before any host is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._application.health_checks import Check
from ansible_collections.hosting.alembic.plugins.module_utils._application.services import Service
from ansible_collections.hosting.alembic.plugins.module_utils._core.argument_specs import DATABASE, SOURCE
from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import check_run_id
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.source import list_source_problems

from .._windows.options import list_window_problems

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "list": (list,),
    "dict": (dict,),
    "int": (int,),
    "float": (int, float),
}
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (str, "a string"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (dict, "a dictionary"),
    (type(None), "nothing"),
)
_WORDS = {"str": "a string", "list": "a list", "dict": "a dictionary", "int": "a whole number", "float": "a number"}

#: What the role's specs take for a string whatever it is.
_STRINGS = ("source", "run", "requirements", "wheelhouse", "python", "virtualenv", "root", "target", "setup", "pg_bin")


def list_problems(options: dict[str, Any]) -> list[str]:
    """Return all that is wrong with the options of a run, each as a sentence."""
    return [
        *_list_string_problems(options, _STRINGS),
        *_list_path_problems(options),
        *_run(options),
        *_exclude(options.get("exclude", [])),
        *_list_database_problems(options.get("databases"), sources=bool(options.get("discover"))),
        *discover_problems(options.get("discover", [])),
        *list_window_problems(options.get("windows", [])),
        *_check_each("services", options.get("services", []), Service.of),
        *_check_each("health_checks", options.get("health_checks", []), Check.of),
    ]


def _check_each(name: str, entries: Any, make: Callable[[Any], object]) -> Iterator[str]:
    """Yield why entries of a list are none."""
    if not isinstance(entries, list):
        yield f"migrate_{name} must be a list and is {_name_kind(entries)}."
        return
    for entry in entries:
        try:
            make(entry)
        except Refused as refusal:
            yield str(refusal)


def _list_string_problems(options: dict[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        # Ansible's own check turns a list into a string and says nothing.
        if not isinstance(options.get(name, ""), str):
            yield f"migrate_{name} must be a string and is {_name_kind(options[name])}."


def _list_path_problems(options: dict[str, Any]) -> Iterator[str]:
    source = options.get("source")
    if source == "":
        yield (
            "migrate_source is not set, or a variable in it is not. Set it to the migrations directory on the"
            " controller: a script directory, or a project folder with alembic.ini."
        )
    elif isinstance(source, str) and not Path(source).is_dir():
        yield f"migrate_source {source!r} is not a directory on the controller. Correct the path."
    root = options.get("root")
    if isinstance(root, str) and root and not root.startswith(("/", "~", "$")):
        yield f"migrate_root {root!r} is not an absolute path. Write it from / on."
    wheelhouse = options.get("wheelhouse")
    if isinstance(wheelhouse, str) and wheelhouse and not Path(wheelhouse).is_dir():
        yield f"migrate_wheelhouse {wheelhouse!r} is not a directory on the controller. Correct the path."


def _run(options: dict[str, Any]) -> Iterator[str]:
    try:
        if options.get("run"):
            check_run_id(str(options["run"]))
    except Refused as refusal:
        yield str(refusal)


def _exclude(patterns: Any) -> Iterator[str]:
    if not isinstance(patterns, list):
        yield f"migrate_exclude must be a list and is {_name_kind(patterns)}."
    elif not all(isinstance(pattern, str) and pattern.strip("!/ ") for pattern in patterns):
        yield "migrate_exclude must hold patterns only, each a text like '*.csv' or 'data/'."


def _list_database_problems(databases: Any, *, sources: bool) -> Iterator[str]:
    if not isinstance(databases, list):
        yield f"migrate_databases must be a list and is {_name_kind(databases)}."
        return
    if not databases and not sources:
        yield "migrate_databases is empty. Name at least one database with its url, or a source in migrate_discover."
    names = [entry.get("name") for entry in databases if isinstance(entry, dict)]
    for number, entry in enumerate(databases, 1):
        if isinstance(entry, dict):
            place = f"Entry {number} of migrate_databases ({entry.get('name', 'without a name')})"
            yield from list_key_problems(place, entry, DATABASE)
        else:
            yield f"Entry {number} of migrate_databases must be a dictionary and is {_name_kind(entry)}."
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        yield f"migrate_databases has {names.count(name)} entries named {name!r}. Give each a name of its own."


def discover_problems(sources: Any) -> Iterator[str]:
    """Yield what is wrong with ``migrate_discover``, each as a sentence."""
    if not isinstance(sources, list):
        yield f"migrate_discover must be a list and is {_name_kind(sources)}."
        return
    for number, entry in enumerate(sources, 1):
        place = f"Entry {number} of migrate_discover"
        if not isinstance(entry, dict):
            yield f"{place} must be a dictionary and is {_name_kind(entry)}."
            continue
        place = f"{place} ({entry.get('name', 'without a name')})"
        wrong = list(list_key_problems(place, entry, SOURCE))
        if isinstance(entry.get("template"), dict):
            wrong += list_key_problems(
                f"The template of entry {number} of migrate_discover", entry["template"], DATABASE
            )
        yield from wrong or list_source_problems(place, entry)
    names = [str(entry.get("name")) for entry in sources if isinstance(entry, dict)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"migrate_discover has {names.count(name)} entries named {name!r}. Give each a name of its own."


def list_key_problems(place: str, entry: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    """Yield the keys of an entry that are not known, those that are missing, and the values of a wrong type."""
    for key in entry.keys() - known.keys():
        yield f"{place} has an unknown key {key!r}. Known are {', '.join(known)}."
    for key, spec in known.items():
        value = entry.get(key)
        if value is None:
            if spec.get("required"):
                yield f"{place} has no {key}."
        elif not _is_a(spec["type"], value):
            yield f"{place}: {key} must be {_WORDS[spec['type']]} and is {_name_kind(value)}."
        elif spec.get("elements") == "str" and not all(isinstance(item, str) for item in value):
            yield f"{place}: {key} must hold strings only."
        elif spec.get("required") and spec["type"] == "str" and not value.strip():
            yield f"{place}: {key} is empty."
        elif key == "environment":
            yield from _list_environment_problems(place, value)


def _list_environment_problems(place: str, environment: dict[str, Any]) -> Iterator[str]:
    """Yield what cannot become a text without a guess; a number can."""
    for name, value in environment.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            shown = f"is {_name_kind(value)}"
            yield f"{place}: {name} in environment must be a text and {shown}. Write it in quotes."
        elif "\0" in str(value) or "=" in str(name) or not str(name):
            yield f"{place}: {str(name)!r} in environment cannot be set for a process."


def _is_a(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and not isinstance(value, bool)


def _name_kind(value: Any) -> str:
    return next((word for kind, word in _KINDS if isinstance(value, kind)), type(value).__name__)
