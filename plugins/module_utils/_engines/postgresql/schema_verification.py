# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of a restored schema with the archive's, entry by entry, as pg_restore and pg_dump print it.

The server renders expressions anew when they are replayed; of these, casts and parentheses do not count. What another
version of pg_dump prints in its own way is compared by what there is, not by its text.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import HALF_WAY, NOT_PERMITTED, Failed, Refused
from ..interface import Report
from . import client_tools
from .arrival import refuse_what_did_not_arrive
from .psql import Contents as Listing
from .psql import use_list
from .publications import ROLES
from .rendering import normalise_line
from .schema_entries import VIEW_DATA, Entry, compare_entries, list_one_sided, list_unprinted, parse, read_dump_versions
from .scope import render_schema_options

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from .session import PostgreSQLSession

#: What a restore in place leaves as it is, because it cannot be moved away.
_STAYS = (
    "SUBSCRIPTION", "EVENT TRIGGER", "FOREIGN DATA WRAPPER", "SERVER", "FOREIGN SERVER", "USER MAPPING", "EXTENSION",
    "PROCEDURAL LANGUAGE", "LANGUAGE", "ACCESS METHOD",
)  # fmt: skip
#: Those of them that a restore in place neither drops nor makes.
_LEFT = tuple(kind for kind in _STAYS if kind != "EXTENSION")
_HAS_LEFT = """
select 1 from pg_foreign_data_wrapper union all select 1 from pg_foreign_server union all select 1 from pg_event_trigger
union all select 1 from pg_user_mappings union all select 1 from pg_language where lanacl is not null limit 1
"""
_STRANGE_SCHEMAS = "select nspname, 1 from pg_namespace where not pg_has_role(nspowner, 'usage')"
_MOST_NAMED = 5
_HANGING = ("COMMENT", "ACL", "SECURITY LABEL")
#: Kinds whose statements have expressions in them, and no text that has to stay to the letter.
_RENDERED = {
    "TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "INDEX", "CONSTRAINT", "CHECK CONSTRAINT", "TRIGGER",
    "POLICY", "RULE", "DEFAULT", "DOMAIN", "STATISTICS", "PUBLICATION TABLE", "EVENT TRIGGER",
}  # fmt: skip
_BODY = ("FUNCTION", "PROCEDURE")
_ATOMIC = re.compile(r"^\s*(?:BEGIN ATOMIC|RETURN )", re.MULTILINE)


@dataclass(frozen=True)
class RestoredSchema:
    """The comparison of an archive's schema with a database's: what of both is not compared."""

    found: client_tools.Tools
    archive: Path
    application: str
    report: Report
    lock_wait: float
    #: Kinds of entries, with their comments and privileges.
    left_out: tuple[str, ...] = ()
    #: The roles whose publications the restore has made; of all roles if there are none here.
    publishers: tuple[str, ...] = ()
    #: Schemas that belong to others, whose privileges and comments a restore leaves as they are.
    strange_schemas: tuple[str, ...] = ()
    #: The only kinds of entries to compare, with their comments and privileges; of all kinds if there are none here.
    only: tuple[str, ...] = ()
    #: The one schema that was restored, none for all.
    schema: str = ""

    def list_differences(self, lines: list[str], url: URL) -> list[str]:
        """Return how what the entries of an archive hold differs from a database.

        Args:
            lines: of the archive's table of contents.
            url: of the database.

        Raises:
            Failed: one of them could not be read.
        """
        self.report("compares the schema with the backup")
        with tempfile.TemporaryDirectory() as folder:
            chosen = use_list(Path(folder), "schema", lines)
            restore = ["pg_restore", "--schema-only", f"--use-list={chosen}", "--file=-", str(self.archive)]
            archived = self._run(restore, client_tools.build_plain_environment())
        dump = ["pg_dump", "--schema-only", "--no-password", f"--lock-wait-timeout={int(self.lock_wait * 1000)}"]
        dump += [*render_schema_options(self.schema), f"--dbname={client_tools.build_conninfo(url)}"]
        dumped = self._run(dump, client_tools.build_environment(url, self.application))
        before, now = self._parse_entries(archived), self._parse_entries(dumped)
        if read_dump_versions(archived) != read_dump_versions(dumped):
            return list_one_sided(before, now, list_unprinted(archived, dumped))
        before, now = _drop_rendered_alike(before, now)
        words, _notes = compare_entries(before, now)
        return words

    def refuse_differences(self, lines: list[str], url: URL, name: str) -> None:
        """Fail where there are any, while the database is as it was.

        Args:
            lines: as above.
            url: as above.
            name: of the database, for people.

        Raises:
            Failed: what was restored is not what was backed up.
        """
        refuse_what_did_not_arrive(name, self.list_differences(lines, url))

    def _run(self, command: list[str], variables: dict[str, str]) -> str:
        words = [str(self.found.folder / command[0]), *command[1:]]
        return client_tools.run_tool(words, variables, self.archive, self.report, "compares the schema")

    def _parse_entries(self, script: str) -> list[Entry]:
        return [entry for entry in parse(script) if not entry.is_own and not self._is_left_out(entry)]

    def _is_left_out(self, entry: Entry) -> bool:
        if self.only:
            if entry.kind in _HANGING:
                return not entry.name.startswith(tuple(f"{kind} " for kind in self.only))
            return entry.kind not in self.only
        if entry.kind.startswith("PUBLICATION") and self.publishers:
            return entry.text.rpartition("\n-- ")[2] not in self.publishers
        if entry.kind not in _HANGING:
            return entry.kind in (VIEW_DATA, *self.left_out)
        strange = {f"SCHEMA {name}" for name in self.strange_schemas}
        return entry.name in strange or entry.name.startswith(tuple(f"{kind} " for kind in self.left_out))


def _drop_rendered_alike(before: list[Entry], now: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return the entries of both sides without those that are the same but for what the server renders anew."""
    old, new = Counter(before), Counter(now)
    gone, made = list((old - new).elements()), list((new - old).elements())
    for entry in list(gone):
        other = next((each for each in made if _is_same(entry, each)), None)
        if other is not None:
            gone.remove(entry)
            made.remove(other)
    return gone, made


def _is_same(entry: Entry, other: Entry) -> bool:
    if (entry.kind, entry.schema, entry.name, entry.method) != (other.kind, other.schema, other.name, other.method):
        return False
    if entry.kind in ("ACL", "DEFAULT ACL"):
        return sorted(entry.text.split("\n")) == sorted(other.text.split("\n"))
    rendered = entry.kind in _RENDERED or (entry.kind in _BODY and bool(_ATOMIC.search(entry.text)))
    return rendered and normalise_line(entry.text) == normalise_line(other.text)


def refuse_what_stays(
    engine: PostgreSQLSession, found: client_tools.Tools, archive: Path, contents: Listing, report: Report
) -> None:
    """Refuse a restore in place where what it leaves as it is differs from what the archive holds.

    Raises:
        Refused: nothing was changed.
    """
    if not contents.select_lines(_LEFT) and not engine.open_own_connection().query_rows(_HAS_LEFT):
        return
    wait = engine.job.backup_lock_wait
    schema = RestoredSchema(found, archive, engine.application, report, wait, only=_LEFT)
    words = schema.list_differences(contents.lines, engine.url)
    if words:
        raise Refused(
            f"Database {engine.database.name!r} cannot be restored in place",
            f"what stays as it is there would not be as before: {'; '.join(words[:_MOST_NAMED])}",
            "Give it an admin_url that may create databases, so that it is restored by a swap",
            code=NOT_PERMITTED,
        )


def refuse_in_place(
    engine: PostgreSQLSession, found: client_tools.Tools, archive: Path, contents: Listing, report: Report
) -> None:
    """Compare what a restore in place has committed, but for what stays as it was.

    Raises:
        Failed: it is not what the archive holds; nothing is dropped.
    """
    own = engine.open_own_connection()
    roles = tuple(str(row[0]) for row in own.query_rows(ROLES))
    strange = tuple(str(row[0]) for row in own.query_rows(_STRANGE_SCHEMAS))
    wait = engine.job.backup_lock_wait
    schema = RestoredSchema(
        found, archive, engine.application, report, wait, _STAYS, roles, strange, schema=engine.database.schema
    )
    words = schema.list_differences(contents.lines, engine.url)
    if words:
        raise Failed(
            f"What was restored of {engine.database.name!r} is not what was backed up",
            "; ".join(words[:_MOST_NAMED]),
            "What was replaced is kept in its schemas alembic_aside_*",
            code=HALF_WAY,
        )
