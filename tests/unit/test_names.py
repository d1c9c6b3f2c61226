# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How names and docstrings speak, and which mappings have no type of their own.

A function is named by a verb and its object; a participle names a value: a property, a field, a variable. A docstring
says what the thing is, or what the function returns or does, and does not begin with a question.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.lab import PROJECT

PLUGINS = PROJECT / "plugins"

#: Participles that do not end with "ed", and verbs that do.
IRREGULAR = re.compile(
    "born|bound|broken|brought|built|chosen|cut|done|drawn|driven|fallen|felt|forgotten|found|foreseen|given|gone|grown"
    "|heard|held|hidden|kept|known|laid|left|lost|made|meant|met|overwritten|paid|seen|sent|shown|sold|spent|spoken"
    "|taken|taught|thought|thrown|told|understood|unknown|unwritten|worn|written"
)
VERBS = {"embed", "exceed", "feed", "need", "proceed", "seed", "speed", "succeed"}

#: Context managers that read well behind ``with``: the state that is so inside of the block.
STATES = {
    *("fixed_mode", "fixed_rendering", "guarded_drivers", "guarded_forks", "locked_file", "locked_folder"),
    "locked_for_dump",
}


def is_participle(word: str) -> bool:
    return IRREGULAR.fullmatch(word) is not None or (word.endswith("ed") and word not in VERBS)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """Yield each function and each method of a file, but for properties and what is made within another function.

    A callback is named by what has happened.
    """
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if not isinstance(node, ast.FunctionDef):
                waiting.append(node)
            elif not any("property" in ast.unparse(decorator) for decorator in node.decorator_list):
                yield node


def test_no_function_is_named_by_a_participle() -> None:
    found = [
        f"{path.relative_to(PLUGINS)}:{node.lineno}: {node.name}"
        for path in sorted(PLUGINS.rglob("*.py"))
        for node in functions(path)
        if is_participle(node.name.lstrip("_").split("_")[0]) and node.name not in STATES
    ]

    assert found == []


#: Words that name no function by themselves: what it does to which thing is in none of them.
NO_NAMES = {
    *("above", "again", "alike", "all", "early", "each", "elsewhere", "few", "how", "inside", "many", "more", "near"),
    *("nothing", "once", "one", "perhaps", "same", "there", "twice", "what", "which", "who", "why"),
}


def test_no_function_is_named_by_an_adverb_or_a_question() -> None:
    found = [
        f"{path.relative_to(PLUGINS)}:{node.lineno}: {node.name}"
        for path in sorted(PLUGINS.rglob("*.py"))
        for node in functions(path)
        if node.name.strip("_") in NO_NAMES
    ]

    assert found == []


def test_each_exception_is_a_context_manager() -> None:
    managers = {
        node.name
        for path in PLUGINS.rglob("*.py")
        for node in functions(path)
        if any("contextmanager" in ast.unparse(decorator) for decorator in node.decorator_list)
    }

    assert managers >= STATES


#: The beginning of a sentence that describes a thing by a question about it.
QUESTION = re.compile(r"(What|Where|Who|Whom|Whose|Which|That|Whether|How|When|Why)\b")


def test_no_docstring_begins_with_a_question() -> None:
    found = [
        f"{path.relative_to(PLUGINS)}:{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"
        for path in sorted(PLUGINS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node))
        if QUESTION.match(text)
    ]

    assert found == []


#: The names of a mapping whose keys are not ours to fix, each defined once.
ANY_KEYS = {
    *("_core/argument_specs.py: Entry", "_core/argument_specs.py: Options", "_core/argument_specs.py: Spec"),
    *("_core/results.py: Answer", "_core/results.py: Result"),
    "_engines/data.py: ConnectOptions",
    "_journal/events.py: Event",
}


def test_what_is_ours_has_a_type_with_its_keys() -> None:
    found = {
        f"{path.parent.name}/{path.name}: {ast.unparse(node.targets[0])}"
        for path in PLUGINS.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "dict[str, Any]"
    }

    assert found == ANY_KEYS
