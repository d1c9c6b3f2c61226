# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of plugins/ a test reaches, read from the sources alone: by imports, and by the verbs that it names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.lab import PROJECT

PLUGINS = PROJECT / "plugins"
UTILS = PLUGINS / "module_utils"
_COLLECTION = "ansible_collections.hosting.alembic.plugins"
_OURS = "hosting.alembic."
_KINDS = ("action", "modules", "lookup")
_NAMED_BY_WORDS = (UTILS / "_verbs", PLUGINS / "modules", PROJECT / "playbooks")
#: A file that is named by a text, as `_plan.entry` is by what starts a process.
_BY_TEXT = re.compile(r"(_[a-z]+)\.([a-z_]+)")
#: A file of tasks, an entry point of the role, and a module or lookup.
_IN_YAML = re.compile(r"\b(\w+)\.yml\b|tasks_from: (\w+)|hosting\.alembic\.(\w+)")


def files_of(test: Path) -> set[Path]:
    """Return the files of the plugins that a test reaches."""
    words = set().union(*map(_words_of, [test, *(path for path in _imports(test) if path.name.startswith("test_"))]))
    engines = {name for name in ("mariadb", "postgres", "sqlite") if name in f"{test} {test.read_text()}".lower()}
    seen: set[Path] = set()
    waiting = [test, *_of_verbs(words)]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        waiting += _imports(path)
        if path.name == "places.py":  # names the parts of each engine by texts
            waiting += (part for engine in engines for part in _parts_of(engine))
        if path.parent.name == "modules":
            waiting += (UTILS / "_answers").glob(path.name)
    return {path for path in seen if path.is_relative_to(PLUGINS)}


@cache
def _words_of(test: Path) -> frozenset[str]:
    """Return the texts of a test and the methods that it calls: `host.plan`, `site.run("migrate")`."""
    nodes = list(ast.walk(ast.parse(test.read_text(encoding="utf-8"))))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return frozenset(texts | {node.attr for node in nodes if isinstance(node, ast.Attribute)})


def _of_verbs(words: Iterable[str]) -> Iterator[Path]:
    """Yield what a verb, a module or a playbook of some names leads to."""
    known = {path.stem for folder in _NAMED_BY_WORDS for path in folder.iterdir()}
    for word in known.intersection(words):
        yield from (UTILS / "_verbs").glob(f"{word}.py")
        yield from (PLUGINS / "modules").glob(f"{word}.py")
        yield from _of_tasks(PROJECT / "playbooks" / f"{word}.yml")


@cache
def _of_tasks(playbook: Path) -> tuple[Path, ...]:
    """Return the modules, with what is done for them on the controller, and the lookups of a playbook and its roles."""
    found: set[Path] = set()
    seen: set[Path] = set()
    waiting = [playbook]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        waiting += (PROJECT / "roles/migrate" / each / "main.yml" for each in ("vars", "handlers"))
        for tasks, entry, name in _IN_YAML.findall(path.read_text(encoding="utf-8")):
            waiting.append(PROJECT / "roles/migrate/tasks" / f"{tasks or entry}.yml")
            found |= {PLUGINS / kind / f"{name}.py" for kind in _KINDS}
    return tuple(path for path in found if path.is_file())


def _parts_of(engine: str) -> list[Path]:
    source = (UTILS / "_engines" / "places.py").read_text(encoding="utf-8")
    names = set(re.findall(r'"(\w+):\w+"', source))
    return [path for name in names for path in UTILS.glob(f"_engines/{engine}*/{name}.py")]


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Return the files that a file imports, and those that it names by a text."""
    above = [_COLLECTION, *path.relative_to(PLUGINS).parts] if path.is_relative_to(PLUGINS) else []
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = ".".join([*above[: -node.level], *filter(None, [node.module])]) if node.level else node.module or ""
            names = [base, *(f"{base}.{each.name}" for each in node.names)]
        elif isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif above and isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {UTILS / package / f"{name}.py" for package, name in _BY_TEXT.findall(node.value)}
            found |= {
                PLUGINS / kind / f"{node.value[len(_OURS) :]}.py" for kind in _KINDS if node.value.startswith(_OURS)
            }
            continue
        else:
            continue
        found |= set(filter(None, map(_file_of, names)))
    return tuple(path for path in found if path.is_file())


def _file_of(module: str) -> Path | None:
    if module.startswith(f"{_COLLECTION}."):
        return PLUGINS.joinpath(*module[len(_COLLECTION) + 1 :].split(".")).with_suffix(".py")
    return PROJECT.joinpath(*module.split(".")).with_suffix(".py") if module.startswith("tests.") else None
