# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find retired words in names, messages, documentation, docstrings, comments and identifiers.

`python -m tests.words` prints each with its file, line and replacement; `make test-lint` runs it. The words are in
words.yml beside this file.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[1]
REJECTED = Path(__file__).with_suffix(".yml")

#: What is read, below the project. CHANGELOG.md is generated from the fragments.
READ = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "Makefile", "pyproject.toml", "migrate.yml"),
    *("docs", "changelogs", "inventory", "meta", "migrations", "molecule", "playbooks", "plugins", "roles", "tests"),
)
SUFFIXES = {".md", ".yml", ".yaml", ".py", ".txt", ".toml", ".j2", ".sql"}
#: Not ours to word: what a program printed.
GENERATED = {"CHANGELOG.md", "words.yml"}


@dataclass(frozen=True)
class Text:
    """A piece of text in a file, and whether it is an identifier."""

    line: int
    text: str
    identifier: bool = False


@dataclass(frozen=True)
class Rejected:
    """A pattern of a retired word, and what to write instead; a space in it is any space, also a line's end."""

    pattern: re.Pattern[str]
    instead: str
    only_identifiers: bool


def load(path: Path = REJECTED) -> tuple[list[Rejected], dict[str, list[str]]]:
    """Return the retired words, and by file those that are on disks and servers and have to be read there."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    rejected = [
        Rejected(re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE), instead, kind == "identifiers")
        for kind in ("everywhere", "identifiers")
        for pattern, instead in content[kind].items()
    ]
    return rejected, content["written by older versions"]


def files() -> Iterator[Path]:
    """Yield each file that is read."""
    for name in READ:
        for path in [PROJECT / name] if (PROJECT / name).is_file() else sorted((PROJECT / name).rglob("*")):
            if path.is_file() and (path.suffix in SUFFIXES or path.name == "Makefile") and path.name not in GENERATED:
                yield path


def split_words(identifier: str) -> str:
    """Return an identifier as words: ``retry_on_lock`` and ``RetryOnLock`` are the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", identifier)
    return " ".join(spaced.replace("_", " ").replace("-", " ").split())


def read_identifiers(tree: ast.AST) -> Iterator[Text]:
    """Yield each name that a Python file defines, but for Python's own, such as ``__enter__``."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not node.name.startswith("__"):
                yield Text(node.lineno, split_words(node.name), identifier=True)
        elif isinstance(node, ast.arg):
            yield Text(node.lineno, split_words(node.arg), identifier=True)
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            name = node.id if isinstance(node, ast.Name) else node.attr
            yield Text(node.lineno, split_words(name), identifier=True)


#: A name in YAML, Markdown or a string: what it is made of is read as words.
_NAME = re.compile(r"(?<![\w./-])[A-Za-z_]\w*_\w*(?![\w.-])")
#: A string that is one name: a key, a state, a choice.
_KEY = re.compile(r"[A-Za-z_]\w*(-\w+)*")


def read_names(source: str) -> Iterator[Text]:
    """Yield each name with an underscore in a file that is not Python, as words: a key, a variable, a choice."""
    for found in _NAME.finditer(source):
        yield Text(1 + source.count("\n", 0, found.start()), split_words(found.group()), identifier=True)


def read_sentences(tree: ast.AST, *, only_docstrings: bool) -> Iterator[Text]:
    """Yield each string, a name as words; of tests, whose strings are data too, only the docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) in docstrings or not only_docstrings:
            is_name = _KEY.fullmatch(node.value) is not None and not node.value.endswith("__")
            yield Text(node.lineno, split_words(node.value) if is_name else node.value, identifier=is_name)


def read_comments(source: str) -> Iterator[Text]:
    """Yield each comment of a Python file."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(token.start[0], token.string)


def read_texts(path: Path) -> Iterator[Text]:
    """Yield all texts of a file, its name first."""
    yield Text(1, split_words(path.stem), identifier=True)
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield Text(1, source)
        yield from read_names(source)
        return
    tree = ast.parse(source)
    yield from read_identifiers(tree)
    yield from read_sentences(tree, only_docstrings="tests" in path.parts)
    yield from read_comments(source)


def find_rejected(text: Text, rejected: Iterable[Rejected]) -> Iterator[tuple[int, str, str]]:
    """Yield the line of each retired word in a text, the word, and what to write instead."""
    for each in rejected:
        if each.only_identifiers and not text.identifier:
            continue
        for found in each.pattern.finditer(text.text):
            line = text.line + text.text.count("\n", 0, found.start())
            yield line, " ".join(found.group().split()), each.instead


def check(path: Path, rejected: Iterable[Rejected]) -> list[str]:
    """Return a line for each retired word in a file."""
    found = {each: None for text in read_texts(path) for each in find_rejected(text, rejected)}
    name = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
    return [f"{name}:{line}: {word!r}; write: {instead}" for line, word, instead in sorted(found)]


def problems() -> list[str]:
    """Return a line for each retired word in the project."""
    rejected, older = load()
    written = {name: [f": {word!r}; " for word in words] for name, words in older.items()}
    return [
        line
        for path in files()
        for line in check(path, rejected)
        if not any(word in line for word in written.get(str(path.relative_to(PROJECT)), ()))
    ]


def main() -> int:
    """Print each retired word; 1 if there is any."""
    lines = problems()
    print("\n".join(lines) or "no retired words")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
