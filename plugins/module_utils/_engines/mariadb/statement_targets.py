# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of a database that a statement may write through: those it names, rather too many than too few.

A statement that names no table cannot write into it, unless it executes what is not in its text. So what counts is
whether the name is in it as a word, be it in a comment or in a string. Where more is certain, less counts: a query
writes nothing but by functions and sequences, and an INSERT names where it writes before all else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

#: What the server takes for a name without quotes.
_WORD = re.compile(r"[0-9a-z_$\u0080-\U0010ffff]+")
#: Makes a blank of each byte between words; to split 16 MB at these is ten times as fast as to find the words.
_BETWEEN_WORDS = bytes(
    byte if byte > 127 or chr(byte) in "0123456789abcdefghijklmnopqrstuvwxyz_$" else 32 for byte in range(256)
)
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
_CREATES = _TARGETS[3]
#: Words before the name of a table, which are one where a pattern gives them up: all names of the statement count then.
_BEFORE_NAMES = {
    *("into", "ignore", "low_priority", "high_priority", "delayed", "quick", "from", "table", "online", "temporary"),
    *("if", "not", "exists", "or", "replace", "only", "value", "values", "set", "select"),
}
#: So many blanks take the patterns long.
_MANY_BLANKS = re.compile(r"\s{100}")
_BLANKS = re.compile(r"\s+")
#: A definition may take over the rows of other tables.
_TAKES_ROWS = {"exchange", "convert", "union", "partition", "rename"}
_DEFINES = re.compile(r"\s*(?:create|alter)\b")
#: What is in front of a dot and a name, and what is so in the place of a table: a database.
_QUALIFIER = re.compile(
    rf"(?<![0-9a-z_$`\"\u0080-\U0010ffff.])({_NAME})\s{{0,99}}\.\s{{0,99}}(?=[`\"a-z_$\u0080-\U0010ffff])"
)
_TABLE_REFERENCE = re.compile(rf"(?:from|join)[\s(]{{1,99}}({_NAME})\s{{0,99}}\.\s{{0,99}}{_NAME}")
#: A name of a function is found by letters without accents as well.
_CALL = re.compile(
    r"(?<![0-9a-z_$\u0080-\U0010ffff])([0-9a-z_$\u0080-\U0010ffff]+)[`\"]?(?:\s{0,99}\(|\s{99}|\s*(?:/\*|--|#))"
)
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
#: The reason why it is unknown what a statement writes that has the name of another database.
NAMES_ANOTHER = "it names another database"
#: What is in a definition of these is executed later, if ever.
_BODIES = {"view", "trigger", "procedure", "function", "event", "package"}
_COMMENTS = ("/*", "--", "#")
#: What executes others that are not in the text, or has the server do so.
_DYNAMIC = {"call", "execute", "prepare", "install", "event_scheduler", "init_connect", "binlog"}
#: Tables of these write into others, perhaps by other connections.
_FOREIGN_ENGINES = {"federated", "federatedx", "spider", "connect", "merge", "mrg_myisam", "oqgraph", "s3"}


@dataclass(frozen=True)
class Written:
    """The possible targets of a statement: objects, columns that it drops, and why they are unknown, if they are."""

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
    #: Tables that statements of the run have made since.
    made: set[str] = field(default_factory=set)
    #: Tables that only the run's own session sees.
    temporary: set[str] = field(default_factory=set)
    #: The name of the database itself.
    schema: str = ""
    #: Whether each table takes part in transactions.
    rolls_back: bool = True

    @cached_property
    def all_names(self) -> set[str]:
        """Return the names of all objects."""
        return {*self.tables, *self.sequences, *self.views, *self.routines}

    @cached_property
    def _folded_names(self) -> set[str]:
        return {name.casefold() for name in self.all_names}

    @cached_property
    def writing_when_read(self) -> set[str]:
        """Return what a query may write through: routines, sequences, and the views that use any of it."""
        found = {*self.routines, *self.sequences}
        size = -1
        while len(found) != size:
            size = len(found)
            found |= {
                name
                for name, text in self.views.items()
                if not text or find_names_in(text, found) or self.may_write_elsewhere(text)
            }
        return found

    def has_name(self, name: str) -> bool:
        """Return whether the last part of a name that is not in capitals is that of an object."""
        found = _unquote_name(re.findall(_NAME, name)[-1])
        return found in self.made or found in self._folded_names

    def may_write_elsewhere(self, text: str) -> bool:
        """Return whether a definition leads where it is not known what is written.

        One of another definer may lead through a database that our user cannot see: so each word before a dot has to be
        known, as the database itself, as one of its names, or as what the text has without a dot, an alias for one.
        """
        read = Text(text)
        if self.explain_doubt(read):
            return True
        known = {self.schema.casefold(), "new", "old"}
        behind = {_unquote_name(match[1]) for match in _TABLE_REFERENCE.finditer(read.folded)}
        if behind - known:
            return True
        known |= self._folded_names
        before = [_unquote_name(match[1]) for match in _QUALIFIER.finditer(read.folded)]
        return any(
            each not in known and not _is_unqualified(each, read.folded) for each in {*before} if not each.isdigit()
        )

    def find_schemas_written(self, text: Text) -> set[str]:
        """Return the other databases that a statement names where it may write into them."""
        folded, words = text.folded, text.words
        if _has_no_row_changes(folded, words) or (_DEFINES.match(folded) and words & _BODIES):
            return set()
        target = _find_target(folded, words, self)
        return _find_qualifying(text if target is None else Text(target), self.other_schemas)

    def explain_doubt(self, text: str | Text) -> str:
        """Return why it is unknown what a text writes into, nothing if its names show it."""
        text = Text.of(text)
        words = text.words
        doubts = {
            "it executes what is not in its text": bool(words & _DYNAMIC),
            "it commits what was prepared": {"xa", "commit"} <= words,
            "it has the word USE": "use" in words and _has_use(text.folded),
            "it works on databases": bool(words & {"drop", "alter"} and words & {"database", "schema"}),
            "it names an engine that writes elsewhere": "engine" in words and bool(words & _FOREIGN_ENGINES),
            NAMES_ANOTHER: bool(_find_qualifying(text, self.other_schemas)),
            # These the server finds by other letters, too.
            "there are routines with names beyond ASCII": not all(map(str.isascii, self.routines)),
            "it may call a routine by other letters": bool(self.routines and _has_non_ascii_call(text.folded)),
        }
        return next((words for words, is_so in doubts.items() if is_so), "")


class Text:
    """A text, and what was read from it, each once: a statement may have 16 MB, and is not kept."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def of(cls, text: str | Text) -> Text:
        """Return a text as such."""
        return text if isinstance(text, Text) else cls(text)

    @cached_property
    def folded(self) -> str:
        """Return it without regard to capitals."""
        return self.text.casefold()

    @cached_property
    def words(self) -> set[str]:
        """Return all words, without regard to what is a comment or a string."""
        found = _split_words(self.folded)
        return found | _split_words(_EXECUTED_COMMENT.sub(" ", self.folded)) if "/*" in self.folded else found


def _split_words(folded: str) -> set[str]:
    parts = folded.encode("utf-8", "surrogatepass").translate(_BETWEEN_WORDS).decode("utf-8", "surrogatepass")
    return set(parts.split(" ")) - {""}


def _has_use(folded: str) -> bool:
    text = _BLANKS.sub(lambda blanks: "\n" if {"\n", "\r"} & set(blanks[0]) else " ", folded)
    return _USES.search(_EXECUTED_COMMENT.sub(";", text)) is not None


def _has_non_ascii_call(folded: str) -> bool:
    return not folded.isascii() and any(not match[1].isascii() for match in _CALL.finditer(folded))


def _is_unqualified(name: str, folded: str) -> bool:
    """Return whether a name is in a text without a dot behind it."""
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])(?![`\"]?\s*\.)", folded) is not None


def find_names_in(text: str | Text, names: Iterable[str]) -> set[str]:
    """Return those of some names that are in a text, in whatever letters and quotes."""
    text = Text.of(text)
    return {name for name in names if _is_in(name.casefold(), text.words, text.folded)}


def _is_in(name: str, words: set[str], folded: str) -> bool:
    if _WORD.fullmatch(name):
        return name in words
    return any(each in folded for each in (name, name.replace("`", "``"), name.replace('"', '""')))


def _find_qualifying(text: Text, schemas: set[str]) -> set[str]:
    """Return the schemas whose names are in a text and may be in front of another name."""
    found = find_names_in(text, schemas)
    if not found:
        return found
    folded = _EXECUTED_COMMENT.sub(" ", text.folded).replace("*/", " ")
    if any(each in folded for each in _COMMENTS):  # there may be one between the name and the dot
        return found
    return {name for name in found if re.search(re.escape(name.casefold()) + r"[`\"]?\s*\.", folded)}


def find_writes(statement: str | Text, catalog: Catalog) -> Written:
    """Return what a statement may write through.

    Args:
        statement: as it is sent, with or without its parameters.
        catalog: of the database.
    """
    text = Text.of(statement)
    unknown = catalog.explain_doubt(text)
    if unknown:
        return Written(unknown=unknown)
    folded, words = text.folded, text.words
    if ";" in folded.rstrip().removesuffix(";") or _MANY_BLANKS.search(folded):
        return Written(find_names_in(text, catalog.all_names))
    indirect = find_names_in(text, catalog.writing_when_read)
    if _has_no_row_changes(folded, words):
        return Written(indirect)
    drops = _DROPS_COLUMN.fullmatch(folded)
    if drops:
        tables = find_names_in(drops["name"], catalog.tables)
        return Written(indirect, {(table, _unquote_name(drops["column"])) for table in tables})
    target = _find_target(folded, words, catalog)
    if target is None:
        return Written(find_names_in(text, catalog.all_names))
    return Written(indirect | find_names_in(target, catalog.all_names))


def _has_no_row_changes(folded: str, words: set[str]) -> bool:
    """Return whether a statement changes no value of a row, unless by what a query may write through."""
    if _READS.match(folded):
        return "statement" not in words
    return _DROPS_KEY.fullmatch(folded) is not None or (_ADDS.match(folded) is not None and not words & _DOES_MORE)


def _find_target(folded: str, words: set[str], catalog: Catalog) -> str | None:
    """Return the text that names the one table into which a statement writes, None if it is not known which.

    The patterns do not know comments, and give up words that may be left out. So what they find counts only where it is
    the name of an object; what the statement itself makes is none yet, and one of the run's own from then on.
    """
    if (_DEFINES.match(folded) and words & _TAKES_ROWS) or any(each in folded for each in _COMMENTS):
        return None
    match = next((found for pattern in _TARGETS if (found := pattern.match(folded))), None)
    if match is None:
        return None
    name, parts = match["name"], re.findall(_NAME, match["name"])
    if _BEFORE_NAMES & {*parts}:
        return None
    if match.re is _CREATES:
        catalog.made.add(_unquote_name(parts[-1]))
        return name
    return name if catalog.has_name(name) else None


def _unquote_name(name: str) -> str:
    return name[1:-1].replace(name[0] * 2, name[0]) if name[0] in '`"' else name
