# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which objects of a database a statement may write through: those that it names, and rather too many than too few.

A statement that names no table cannot write into it, unless it executes what is not in its text. So what counts is
whether the name is in it as a word, be it in a comment or in a string. Where more is certain, less counts: a query
writes nothing but by functions and sequences, and an INSERT names where it writes before all else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

#: What the server takes for a name without quotes.
_WORD = re.compile(r"[0-9a-z_$\u0080-\U0010ffff]+")
#: The beginning of a comment whose content is executed; its digits may touch the word behind them.
_EXECUTED_COMMENT = re.compile(r"/\*m?!\d{0,6}")
_NAME = r"(?:`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[0-9a-z_$\u0080-\U0010ffff]+)"
_QUALIFIED = rf"(?P<name>{_NAME}(?:\s*\.\s*{_NAME})?)"
#: Statements that begin with a table and write into no other one.
_TARGETS = tuple(
    re.compile(rf"\s*{words}", re.DOTALL)
    for words in (
        rf"(?:insert|replace)\s+(?:(?:low_priority|high_priority|delayed|ignore)\s+)*(?:into\s+)?{_QUALIFIED}(?![\w$])",
        rf"update\s+(?:(?:low_priority|ignore)\s+)*{_QUALIFIED}\s+(?:(?:as\s+)?[a-z_][a-z0-9_]*\s+)?set\s",
        rf"delete\s+(?:(?:low_priority|quick|ignore)\s+)*from\s+{_QUALIFIED}\s*(?:(?:where|order|limit|returning)\b|;?\s*$)",
        rf"create\s+(?:or\s+replace\s+)?(?:temporary\s+)?table\s+(?:if\s+not\s+exists\s+)?{_QUALIFIED}[\s(]",
        rf"alter\s+(?:online\s+|ignore\s+)*table\s+(?:if\s+exists\s+)?{_QUALIFIED}\s",
    )
)
#: A definition may take over the rows of other tables.
_TAKES_ROWS = {"exchange", "convert", "union", "partition", "rename"}
_DEFINES = re.compile(r"\s*(?:create|alter)\b")
#: What changes a value of no row that was there: a column or an index more, a key or an index less.
_ADDS = re.compile(
    rf"\s*(?:alter\s+table\s+{_QUALIFIED}\s+add\s|create\s+(?:(?:unique|fulltext|spatial)\s+)?index\s)", re.DOTALL
)
_DROPS_KEY = re.compile(
    rf"\s*(?:alter\s+table\s+{_QUALIFIED}\s+drop\s+(?:index|key|constraint|foreign\s+key|check)\s+"
    rf"(?:if\s+exists\s+)?{_NAME}|drop\s+index\s+(?:if\s+exists\s+)?{_NAME}\s+on\s+{_NAME})\s*;?\s*",
    re.DOTALL,
)
#: What does where the column was not there before.
_DROPS_COLUMN = re.compile(
    rf"\s*alter\s+table\s+{_QUALIFIED}\s+drop\s+(?:column\s+)?(?:if\s+exists\s+)?(?P<column>{_NAME})\s*;?\s*",
    re.DOTALL,
)
_DOES_MORE = {
    *_TAKES_ROWS,
    *("ignore", "drop", "modify", "change", "order", "engine", "system", "period", "versioning", "foreign"),
    *("references", "import", "discard", "truncate", "remove", "reorganize", "coalesce", "force", "primary"),
}
_READS = re.compile(
    r"\s*(?:(?:select|show|describe|desc|explain|set|savepoint|release|rollback)\s|(?:commit|rollback)\b)"
)
_USES = re.compile(r"(?:\A|[;/\n\r])\s*use\b(?!\s+(?:index|key)\b)")
_COMMENTS = ("/*", "--", "#")
#: What executes others that are not in the text, or has the server do so.
_DYNAMIC = {"call", "execute", "prepare", "install", "event_scheduler", "init_connect"}
#: Tables of these write into others, perhaps by other connections.
_FOREIGN_ENGINES = {"federated", "federatedx", "spider", "connect", "merge", "mrg_myisam", "oqgraph", "s3"}


@dataclass(frozen=True)
class Written:
    """What a statement may write through: objects, columns that it drops, and why that is unknown, if it is."""

    names: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    unknown: str = ""


@dataclass
class Catalog:
    """The names in a database, by what may be written through them."""

    #: Tables and sequences, and views by their definitions.
    tables: set[str] = field(default_factory=set)
    sequences: set[str] = field(default_factory=set)
    views: dict[str, str] = field(default_factory=dict)
    #: Procedures, functions, packages and events.
    routines: set[str] = field(default_factory=set)
    other_schemas: set[str] = field(default_factory=set)

    @cached_property
    def all_names(self) -> set[str]:
        """Return the names of all objects."""
        return {*self.tables, *self.sequences, *self.views, *self.routines}

    @cached_property
    def writing_when_read(self) -> set[str]:
        """Return what a query may write through: routines, sequences, and the views that use any of it."""
        found = {*self.routines, *self.sequences}
        size = -1
        while len(found) != size:
            size = len(found)
            found |= {
                name for name, text in self.views.items() if not text or named_in(text, found) or self.refusal(text)
            }
        return found

    def refusal(self, text: str) -> str:
        """Return why it is unknown what a text writes into, nothing if its names show it."""
        words = words_of(text)
        doubts = {
            "it executes what is not in its text": bool(words & _DYNAMIC),
            "it has the word USE": _USES.search(_EXECUTED_COMMENT.sub(";", text.casefold())) is not None,
            "it works on databases": bool(words & {"drop", "alter"} and words & {"database", "schema"}),
            "it names an engine that writes elsewhere": "engine" in words and bool(words & _FOREIGN_ENGINES),
            "it names another database": bool(_qualified_by(text, self.other_schemas)),
            # These the server finds by other letters, too.
            "there are routines with names beyond ASCII": not all(map(str.isascii, self.routines)),
        }
        return next((words for words, is_so in doubts.items() if is_so), "")


@lru_cache(maxsize=8)
def words_of(text: str) -> frozenset[str]:
    """Return all words of a text, without regard to what is a comment or a string."""
    folded = text.casefold()
    return frozenset({*_WORD.findall(folded), *_WORD.findall(_EXECUTED_COMMENT.sub(" ", folded))})


def named_in(text: str, names: Iterable[str]) -> set[str]:
    """Return those of some names that are in a text, in whatever letters and quotes."""
    words, folded = words_of(text), text.casefold()
    return {name for name in names if _is_in(name.casefold(), words, folded)}


def _is_in(name: str, words: frozenset[str], folded: str) -> bool:
    if _WORD.fullmatch(name):
        return name in words
    return any(each in folded for each in (name, name.replace("`", "``"), name.replace('"', '""')))


def _qualified_by(text: str, schemas: set[str]) -> set[str]:
    """Return the schemas whose names are in a text and may be in front of another name."""
    found = named_in(text, schemas)
    folded = _EXECUTED_COMMENT.sub(" ", text.casefold()).replace("*/", " ")
    if any(each in folded for each in _COMMENTS):  # there may be one between the name and the dot
        return found
    return {name for name in found if re.search(re.escape(name.casefold()) + r"[`\"]?\s*\.", folded)}


def written_through(statement: str, catalog: Catalog) -> Written:
    """Return what a statement may write through.

    Args:
        statement: as it is sent, with or without its parameters.
        catalog: of the database.
    """
    unknown = catalog.refusal(statement)
    if unknown:
        return Written(unknown=unknown)
    folded, words = statement.casefold(), words_of(statement)
    if ";" in folded.rstrip().removesuffix(";"):
        return Written(named_in(statement, catalog.all_names))
    indirect = named_in(statement, catalog.writing_when_read)
    if _changes_nothing(folded, words):
        return Written(indirect)
    drops = _DROPS_COLUMN.fullmatch(folded)
    if drops:
        tables = named_in(drops["name"], catalog.tables)
        return Written(indirect, {(table, _without_quotes(drops["column"])) for table in tables})
    target = _target(folded, words)
    if target is None:
        return Written(named_in(statement, catalog.all_names))
    return Written(indirect | named_in(target, catalog.all_names))


def _changes_nothing(folded: str, words: frozenset[str]) -> bool:
    """Return whether a statement changes no value of a row, unless by what a query may write through."""
    if _READS.match(folded):
        return "statement" not in words
    return _DROPS_KEY.fullmatch(folded) is not None or (_ADDS.match(folded) is not None and not words & _DOES_MORE)


def _target(folded: str, words: frozenset[str]) -> str | None:
    """Return the text that names the one table into which a statement writes, None if it is not known which."""
    if _DEFINES.match(folded) and words & _TAKES_ROWS:
        return None
    match = next((found for pattern in _TARGETS if (found := pattern.match(folded))), None)
    return match["name"] if match else None


def _without_quotes(name: str) -> str:
    return name[1:-1].replace(name[0] * 2, name[0]) if name[0] in '`"' else name
