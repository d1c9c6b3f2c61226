# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How names and docstrings speak, and which mappings have no type of their own.

A function is named by a verb and its object; a noun or a participle names a value: a property, a field, a variable. A
docstring says what the thing is, or what the function returns or does, and does not begin with a question.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.lab import PROJECT

PLUGINS = PROJECT / "plugins"

#: The first words of functions: what each does to the thing that the rest of its name says.
VERBS = """
    act add admit advance advise allow alter analyze announce answer append attach attempt attend audit authorize
    await back become begin block bring build bury call change check choose clean clear close collect color commit
    compare compile complain complete compute condemn confirm connect convert copy count create decode delegate
    describe disable discover do downgrade drain drop dump encode encrypt end escape estimate exclude execute exit
    expect explain extract fail feed fetch fill find finish fit fix fold follow forecast foresee foretell forget
    format freeze generalize get give go group guard halt hand handle hash hear hide hold hook ignore import indent
    install introduce join journal judge keep kill launch learn leave let limit link list listen load locate lock
    make map mark mask match measure merge migrate move name normalise note notice offer open overwrite pack parse
    pass pause perform permit pipe plan poll predict prefix prepare prepend print probe process prompt prove prune
    put qualify query quote raise read rebuild receive record recover redirect reduce refill refuse register
    rehearse reject release remember remove rename render replace replay report require reserve reset resolve
    respond restore restrict resume retain retry revert rewrite roll round run seal secure see select send separate
    serve set share shorten show sort speak spend split stage start stop stream strip subtract sum suspend swap
    switch sync take tally tidy trace translate try turn undo unescape union unlock unpack unqualify unquote unwrap
    update upgrade use verify wait walk warm warn watch weigh widen work wrap write
"""

#: First words that are not verbs and are usual all the same: of what answers yes or no, of what makes one from another,
#: and of what is called when something happens.
QUESTIONS = "are can has holds is lacks may needs was"
CONVERSIONS = "as from of with"
CALLBACKS = "on"

#: The entry point of a module, the verbs of the product that are nouns too, and a name that Python's import calls.
GIVEN = {"main", "backup", "health", "rollback", "status", "exec_module"}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield each function, each method and each function within another one, but for properties and ``__names__``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.endswith("__"):
            words = [ast.unparse(decorator) for decorator in node.decorator_list]
            if not any("property" in word or word.endswith(".setter") for word in words):
                yield node


def test_each_function_is_named_by_a_verb() -> None:
    first_words = {*f"{VERBS} {QUESTIONS} {CONVERSIONS} {CALLBACKS}".split()}
    found = [
        f"{path.relative_to(PLUGINS)}:{node.lineno}: {node.name}"
        for path in sorted(PLUGINS.rglob("*.py"))
        for node in functions(path)
        if node.name not in GIVEN and node.name.lstrip("_").split("_")[0] not in first_words
    ]

    assert found == []


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
