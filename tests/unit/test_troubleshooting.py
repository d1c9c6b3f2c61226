# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each error has a code, and docs/troubleshooting.md explains each code once."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

import yaml

from tests.lab import PROJECT
from tests.unit.docs.pages import PAGES, name_of

PAGE = PROJECT / "docs" / "troubleshooting.md"
SOURCES = {path: ast.parse(path.read_text()) for path in sorted((PROJECT / "plugins").rglob("*.py"))}
CODE = re.compile(r"[a-z]+(-[a-z]+)*")
LONGEST_ENTRY = 5
LONGEST_LINE = 120


def _name_of(node: ast.expr) -> str:
    """Return the last name of ``Failed`` or ``errors.Failed``."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


NODES = [(path, node) for path, tree in SOURCES.items() for node in ast.walk(tree)]


def _error_classes() -> dict[str, ast.ClassDef]:
    """Return ``Refused`` and all classes below it."""
    classes = [node for _, node in NODES if isinstance(node, ast.ClassDef)]
    found = {node.name: node for node in classes if node.name == "Refused"}
    while True:
        below = {node.name: node for node in classes if {_name_of(base) for base in node.bases} & found.keys()}
        if below.keys() <= found.keys():
            return found
        found.update(below)


def _constants() -> dict[str, str]:
    """Return the module-level constants that hold a text, of all modules."""
    return {
        node.targets[0].id: node.value.value
        for node in chain.from_iterable(tree.body for tree in SOURCES.values())
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


CLASSES = _error_classes()
CONSTANTS = _constants()


def _has_own_init(node: ast.ClassDef) -> bool:
    return any(isinstance(each, ast.FunctionDef) and each.name == "__init__" for each in node.body)


def _find_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each place that makes an error, as file:line, with the call.

    A subclass with an ``__init__`` of its own gives the code there, and its callers do not.
    """
    makers = {name for name, node in CLASSES.items() if name == "Refused" or not _has_own_init(node)}
    inits = [
        call
        for name, node in CLASSES.items()
        if name not in makers
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
    ]
    for path, node in NODES:
        if isinstance(node, ast.Call) and (_name_of(node.func) in makers or node in inits):
            yield f"{path.relative_to(PROJECT)}:{node.lineno}", node


CALLS = list(_find_calls())


def _given(call: ast.Call) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == "code"), None)


def _codes_of(value: ast.expr) -> list[str] | None:
    """Return the codes that an expression can be; of another error's code none, and None where it is not known."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return [value.value]
    if isinstance(value, ast.Name) and value.id in CONSTANTS:
        return [CONSTANTS[value.id]]
    if isinstance(value, ast.IfExp):
        branches = [_codes_of(value.body), _codes_of(value.orelse)]
        return None if None in branches else [code for branch in branches for code in branch or []]
    return [] if isinstance(value, ast.Attribute) and value.attr == "code" else None


def _codes() -> set[str]:
    return {code for _, call in CALLS for code in _codes_of(_given(call) or ast.Constant("")) or [] if code}


def _groups() -> dict[str, dict[str, list[str]]]:
    """Return the entries of the page with their lines, by the heading of their group."""
    groups: dict[str, dict[str, list[str]]] = {}
    lines: list[str] = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            entries = groups.setdefault(line[3:], {})
            lines = []
        elif line.startswith("### "):
            lines = entries.setdefault(line[4:], [])
        elif line.strip():
            lines.append(line)
    return groups


GROUPS = _groups()
ENTRIES = {code: lines for entries in GROUPS.values() for code, lines in entries.items()}


def _headings() -> list[str]:
    return [line[4:] for line in PAGE.read_text().splitlines() if line.startswith("### ")]


def _listed(words: Iterable[str]) -> str:
    return "\n" + "\n".join(sorted(words))


def test_each_error_is_made_with_a_code() -> None:
    without = [place for place, call in CALLS if _given(call) is None]
    assert len(CLASSES) > 1, "the classes of errors were not found"
    assert not without, _listed(without)


def test_each_code_can_be_read_from_the_source() -> None:
    unread = [place for place, call in CALLS if (value := _given(call)) and _codes_of(value) in (None, [""])]
    assert not unread, _listed(unread)


def test_each_code_is_in_kebab_case() -> None:
    wrong = [code for code in _codes() if not CODE.fullmatch(code)]
    assert not wrong, _listed(wrong)


def test_each_code_has_an_entry() -> None:
    missing = _codes() - set(_headings())
    assert not missing, _listed(missing)


def test_each_entry_is_of_a_code() -> None:
    unknown = set(_headings()) - _codes()
    assert not unknown, _listed(unknown)


def test_each_code_has_one_entry() -> None:
    twice = [code for code, count in Counter(_headings()).items() if count > 1]
    assert not twice, _listed(twice)


def test_each_entry_has_a_text_of_few_short_lines() -> None:
    wrong = [code for code, lines in ENTRIES.items() if not 0 < len(lines) <= LONGEST_ENTRY]
    assert not wrong, _listed(wrong)
    long = [line for line in PAGE.read_text().splitlines() if len(line) > LONGEST_LINE]
    assert not long, _listed(long)


#: A code in brackets, as messages have it, in parentheses, at the end of a row, or in a link.
_ON_A_PAGE = re.compile(
    r"\[(?:\\\[)?([a-z]+(?:-[a-z]+)+)(?:\\\])?\]|\(`([a-z]+(?:-[a-z]+)+)`\)|\| `([a-z]+(?:-[a-z]+)+)` \|$"
    r"|troubleshooting\.md#([a-z-]+)",
    re.MULTILINE,
)


def test_each_code_on_a_page_has_an_entry() -> None:
    named = {
        (name_of(page), next(filter(None, found.groups())))
        for page in PAGES
        for found in _ON_A_PAGE.finditer(page.read_text(encoding="utf-8"))
    }
    assert named
    assert [place for place in sorted(named) if place[1] not in ENTRIES] == []


def test_the_entries_of_a_group_are_in_alphabetical_order() -> None:
    for group, entries in GROUPS.items():
        assert list(entries) == sorted(entries), group


def test_what_the_page_names_is_there() -> None:
    text = PAGE.read_text()
    specs = yaml.safe_load((PROJECT / "roles/migrate/meta/argument_specs.yml").read_text())["argument_specs"]
    variables = set(specs["main"]["options"])
    unknown = set(re.findall(r"\bmigrate_[a-z_]+\b", text)) - variables
    assert not unknown, _listed(unknown)
    playbooks = {name for name in re.findall(r"[\w/]+\.yml", text) if name.startswith(("playbooks/", "migrate"))}
    missing = [name for name in playbooks if not (PROJECT / name).is_file()]
    assert playbooks
    assert not missing, _listed(missing)
    elsewhere = set(re.findall(r"\]\(#([^)]+)\)", text)) - set(_headings())
    assert not elsewhere, _listed(elsewhere)
