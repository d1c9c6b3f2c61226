"""Each place of the product that prints a command has a test that types the command as it was printed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.lab import PROJECT

PLUGINS = PROJECT / "plugins"
TESTS = PROJECT / "tests" / "integration"

#: What makes a command, and the verb where its name says it; else the verb is the last constant of its arguments.
_MAKERS = {"build_playbook_command": "", "build_command_for": "", "retry_command": "migrate"}

#: Places whose command no test types yet. Nothing is added here: what prints a new command brings its test.
_NOT_TYPED: set[str] = set()


def places() -> set[str]:
    """The places that print a command: module, function or constant, verb and the variables that it sets."""
    return {place for path in sorted(PLUGINS.rglob("*.py")) for place in _places_in(path)}


def _places_in(path: Path) -> Iterator[str]:
    module = path.relative_to(PLUGINS).with_suffix("")

    def visit(node: ast.AST, names: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = (*names, node.name)
        elif not names and isinstance(node, ast.Assign):
            names = (ast.unparse(node.targets[0]),)
        # What makes a command for others prints none itself.
        if _makes_command(node) and isinstance(node, ast.Call) and names[-1] not in _MAKERS:
            yield " ".join([f"{module}.{'.'.join(names)}", _verb(node), *_variables(node)])
        for child in ast.iter_child_nodes(node):
            yield from visit(child, names)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), ())


def _makes_command(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MAKERS


def _verb(call: ast.Call) -> str:
    constants = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    return str(constants[-1]) if constants else _MAKERS[ast.unparse(call.func)]


def _variables(call: ast.Call) -> list[str]:
    return [keyword.arg for keyword in call.keywords if keyword.arg]


def typed_places() -> dict[str, list[str]]:
    """The places that tests are marked with, each with the tests, all of which type something."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            calls = {ast.unparse(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "types":
                    assert {"typed", "printed"} <= calls, f"{path.name}::{node.name} types nothing that was printed"
                    for place in mark.args:
                        found.setdefault(ast.literal_eval(place), []).append(f"{path.name}::{node.name}")
    return found


def test_what_each_place_prints_is_typed_by_a_test() -> None:
    assert sorted(places() - set(typed_places())) == sorted(_NOT_TYPED)


def test_each_mark_names_a_place_that_prints() -> None:
    assert sorted(set(typed_places()) - places()) == []
