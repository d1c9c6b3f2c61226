"""The floors of the house: a package imports from floors below its own, and no files import each other in a circle.

Nothing above the engines names a kind of database.

`python -m tests.layers` says what does not keep to it; `make test-lint` runs it. Every import counts, also one in a
function or for types alone, since Ansible ships the files of all of them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

PLUGINS = Path(__file__).parents[1] / "plugins"

#: From the bottom: the packages of a line may not import each other, but for the files of one package.
FLOORS = (
    ("_core",),
    ("_journal", "_engines"),
    ("_release", "_backup", "_application", "_discovery"),
    ("_migration",),
    ("_plan", "_worker"),
    ("_rehearsal", "_revert"),
    ("_verbs",),
    ("_module",),
    ("_answers",),
)
#: What the controller's half may use of the host's: what reads files, and what names things.
OF_THE_HOST = ("_core", "_journal", "_release", "_backup", "_application", "_discovery")
#: As FLOORS, of the controller's half.
CONTROLLER = (
    ("_run", "_windows"),
    ("_report",),
    ("_follow", "_preflight", "_rollout", "_schedule"),
)
#: Engines do not know each other, and no file imports one: ``_engines/places.py`` has their parts by texts.
ENGINES = ("mariadb", "postgresql", "sqlite")
#: What an identifier or a text above ``_engines`` has if it knows a database; in a message, names have capitals.
DIALECT = re.compile("postgres|mariadb|mysql|sqlite")
#: Where one may be named above, and why.
MAY_NAME_DIALECTS = {
    "_backup/manifest.py": "reads fingerprints without an engine, in which tables of a server have a schema",
    "_release/exclusions.py": "leaves files of SQLite out of a release, on the controller, where no engine is",
}


def files() -> list[Path]:
    """Return all files of both halves."""
    return sorted(path for half in ("module_utils", "plugin_utils") for path in (PLUGINS / half).rglob("*.py"))


def imported(path: Path) -> Iterator[Path]:
    """Yield the files of the collection that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        folder = path.parents[node.level - 1] if node.level else PLUGINS
        words = node.module or ""
        if not node.level:
            _before, found, words = words.partition("hosting.alembic.plugins.")
            if not found:
                continue
        base = folder.joinpath(*words.split(".")) if words else folder
        for candidate in (base, *(base / alias.name for alias in node.names)):
            if candidate.with_suffix(".py").is_file():
                yield candidate.with_suffix(".py")


def floor_of(package: str, floors: Sequence[Sequence[str]] = FLOORS) -> int:
    """Return the floor of a package, 0 the lowest."""
    return next(number for number, packages in enumerate(floors) if package in packages)


def arrows() -> set[tuple[str, str, str]]:
    """Return each half and package with each other package of that half that it imports from."""
    found = {(place_of(path)[:2], place_of(other)[:2]) for path in files() for other in imported(path)}
    return {(*ours, other[1]) for ours, other in found if ours[0] == other[0] and ours != other}


def place_of(path: Path) -> tuple[str, str, str]:
    """Return the half of a file, its package and, in ``_engines``, its engine."""
    half, *inner = path.relative_to(PLUGINS).parts
    package = inner[0] if len(inner) > 1 else ""
    return half, package, inner[1] if package == "_engines" and inner[1] in ENGINES else ""


def wrong(path: Path, other: Path) -> str | None:
    """Return why a file may not import another one, if so."""
    half, package, engine = place_of(path)
    other_half, other_package, other_engine = place_of(other)
    if half == "plugin_utils":
        if other_half != half:
            return None if other_package in OF_THE_HOST else "the controller's half uses what only hosts do"
        is_below = package == other_package or floor_of(other_package, CONTROLLER) < floor_of(package, CONTROLLER)
        return None if is_below else f"{other_package} does not stand below {package}"
    if other_half == "plugin_utils":
        return "the host's half has nothing of the controller's"
    if package == other_package:
        return "an engine is reached by its places" if other_engine and engine != other_engine else None
    if floor_of(other_package) >= floor_of(package):
        return f"{other_package} does not stand below {package}"
    return "an engine is reached by its places" if other_engine else None


def names_of_dialects(path: Path) -> Iterator[str]:
    """Yield what in a file names a kind of database, with its line: identifiers and texts, but no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        for _field, value in ast.iter_fields(node):
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            is_text = isinstance(node, ast.Constant)
            if isinstance(text, str) and node not in docstrings and DIALECT.search(text if is_text else text.lower()):
                yield f"line {getattr(node, 'lineno', 0)}: {text.strip()}"


def knows_dialects(path: Path) -> list[str]:
    """Return what a file above ``_engines`` names of the databases below it, if anything."""
    half, package, _engine = place_of(path)
    is_above = half == "plugin_utils" or floor_of(package) > floor_of("_engines")
    if not is_above or f"{package}/{path.name}" in MAY_NAME_DIALECTS:
        return []
    return list(names_of_dialects(path))


def circles(graph: dict[Path, set[Path]]) -> list[list[Path]]:
    """Return the groups of files that import each other, by way of others or not (Tarjan)."""
    index: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []
    found: list[list[Path]] = []

    def visit(path: Path) -> None:
        index[path] = low[path] = len(index)
        stack.append(path)
        for other in graph[path]:
            if other not in index:
                visit(other)
                low[path] = min(low[path], low[other])
            elif other in stack:
                low[path] = min(low[path], index[other])
        if low[path] == index[path]:
            group = stack[stack.index(path) :]
            del stack[stack.index(path) :]
            if len(group) > 1:
                found.append(sorted(group))

    for path in graph:
        if path not in index:
            visit(path)
    return found


def problems() -> list[str]:
    """Return a line for each import that does not keep to the floors, and one for each circle."""
    graph = {path: set(imported(path)) for path in files()}
    lines = [
        f"{path.relative_to(PLUGINS)} imports {other.relative_to(PLUGINS)}: {why}"
        for path, others in graph.items()
        for other in sorted(others)
        if (why := wrong(path, other))
    ]
    lines += [f"{path.relative_to(PLUGINS)} names a database, {why}" for path in graph for why in knows_dialects(path)]
    for half in ("module_utils", "plugin_utils"):
        lines += [f"{path.relative_to(PLUGINS)} has no package" for path in (PLUGINS / half).glob("*.py")]
    lines += ["in a circle: " + ", ".join(str(path.relative_to(PLUGINS)) for path in each) for each in circles(graph)]
    return lines


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    lines = problems()
    print("\n".join(lines) or f"{len(files())} files keep to their floors")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
