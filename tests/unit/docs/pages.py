# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pages that a person reads, and the blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.lab import PROJECT

ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "roles/migrate/README.md")
PAGES: list[Path] = [*(PROJECT / name for name in ROOT_PAGES), *sorted((PROJECT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"(?ms)^```(\S*)\n(.*?)^```$")
#: A word in backticks that begins a command, and is more than the name of a program.
PROGRAMS = ("ansible-", "make ", "age ", "gpg ", "pg_dump ", "pg_restore ", "createdb ", "sqlite3 ", "psql ", "pip ")
_INLINE = re.compile(r"`([^`\n]+)`|``([^\n]+?)``")


def name_of(page: Path) -> str:
    """Return what a page is called in lists."""
    return str(page.relative_to(PROJECT))


def blocks(page: Path, *kinds: str) -> Iterator[str]:
    """Yield the blocks of some kinds of a page."""
    for kind, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        if kind in kinds:
            yield text


def commands(page: Path) -> Iterator[str]:
    """Yield each command of a page: of blocks of commands, and in the text."""
    for text in blocks(page, "sh"):
        lines = (line.partition(" #")[0].split() for line in text.replace("\\\n", " ").splitlines())
        yield from (" ".join(words) for words in lines if words)
    for text in blocks(page, "console"):
        yield from (line[2:] for line in text.replace("\\\n", " ").splitlines() if line.startswith("$ "))
    for found in _INLINE.finditer(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        word = (found[1] or found[2]).strip()
        if word.startswith(PROGRAMS) and " " in word and not word.endswith("…"):
            yield word
