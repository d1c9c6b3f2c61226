# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replaying an archive into an empty database, as its owner.

An archive holds code of the database's owner: CHECK constraints, triggers and expressions run while it is loaded. So
a role that may create databases creates them, and extensions that only a superuser may create, before any other session
can connect; all else is done by a session of the owner. ``SET ROLE`` in a superuser's session would not do, because
what runs there could reset it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..connection import OwnConnection
from ..interface import Report
from ..sql import escape_colons, quote_name
from . import client_tools
from .psql import SEARCH_PATH, TRANSACTION_TIMEOUT, Contents, Psql, use_list
from .restore_statements import quote_literal

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_TRUSTED = """
select name from pg_available_extension_versions v where coalesce(cast(to_jsonb(v)->>'trusted' as boolean), false)
"""


_TABLES = """
select n.nspname, c.relname from pg_depend e
  join pg_extension x on x.oid = e.refobjid
  join pg_class c on e.classid = 'pg_class'::regclass and e.objid = c.oid
  join pg_namespace n on n.oid = c.relnamespace
 where e.deptype = 'e' and e.refclassid = 'pg_extension'::regclass and c.relkind in ('r', 'p', 'S')
   and x.extname = any(cast(:names as text[]))
""".replace("::", "\\:\\:")

#: What only a superuser creates, before all that may need it, and after all else.
SUPERUSERS_FIRST = [
    "FOREIGN DATA WRAPPER -", "ACL - FOREIGN DATA WRAPPER", "COMMENT - FOREIGN DATA WRAPPER",
    "PROCEDURAL LANGUAGE -", "ACL - LANGUAGE", "COMMENT - PROCEDURAL LANGUAGE",
]  # fmt: skip
#: What is of the database itself and not in it.
OF_DATABASE = [
    "DATABASE -", "DATABASE PROPERTIES -", "ACL - DATABASE", "COMMENT - DATABASE", "SECURITY LABEL - DATABASE",
]  # fmt: skip
LAST = [
    "PUBLICATION", "COMMENT - PUBLICATION", "EVENT TRIGGER", "COMMENT - EVENT TRIGGER",
]  # fmt: skip


def build_header(search_path: str) -> dict[bytes, bytes]:
    """Return what takes the place of lines in the beginning of an archive's script."""
    lines = {TRANSACTION_TIMEOUT: b""}
    if search_path:
        lines[SEARCH_PATH] = SEARCH_PATH.replace(b"''", quote_literal(search_path).encode())
    return lines


@dataclass(frozen=True)
class Replay:
    """The replay of one archive: its programs, and the major version of the server."""

    found: client_tools.Tools
    server: int
    archive: Path
    application: str
    #: As ``client_encoding`` returns it for the database.
    encoding: str
    report: Report

    def run(self, url: URL, options: list[str], jobs: int = 1, search_path: str = "") -> None:
        """Replay into the database of a URL, as its user.

        Raises:
            Failed: a statement failed.
        """
        program = [str(self.found.folder / "pg_restore"), "--exit-on-error", *options]
        if self.found.is_understood_by(self.server) and not search_path:
            target = [
                f"--jobs={jobs}",
                "--no-password",
                f"--dbname={client_tools.build_conninfo(url)}",
                str(self.archive),
            ]
            variables = client_tools.build_environment(url, self.application)
            client_tools.run_tool(
                [*program, *target], variables, self.archive, self.report, "restored into a new database"
            )
            return
        with Psql(self.found, url, self.application, self.encoding) as psql:
            psql.execute("\\o /dev/null")
            psql.replay([*program, "--file=-", str(self.archive)], self.report, build_header(search_path))
            psql.execute("\\o", self.report, "replays the dump")

    def make_extensions(self, admin: OwnConnection, url: URL, contents: Contents, folder: Path) -> list[str]:
        """Create the extensions that only a superuser may, and their schemas; return the entries that this has done.

        No other session may be able to connect: the owner of a schema could put functions there that a superuser would
        call.
        """
        names = list_untrusted_extensions(admin, contents)
        made = [f"{of} {name}" for of in ("EXTENSION -", "COMMENT - EXTENSION") for name in names] + SUPERUSERS_FIRST
        if not contents.select_lines(made):
            return []
        made += ["SCHEMA -", "COMMENT - SCHEMA"]
        self._make_kinds(url, contents, made, folder)
        # Their tables belong to the extension alone, so they have no triggers but those of the extension.
        data = [
            f"{kind} {schema} {table}"
            for kind in ("TABLE DATA", "SEQUENCE SET")
            for schema, table in admin.query_rows(_TABLES, names=names)
        ]
        self._make_kinds(url, contents, data, folder)
        return made + data

    def make_last(self, url: URL, contents: Contents, folder: Path) -> None:
        """Create as a superuser what only that may and what runs nothing of the owner's while it is created."""
        self._make_kinds(url, contents, LAST, folder)

    def _make_kinds(self, url: URL, contents: Contents, kinds: list[str], folder: Path) -> None:
        lines = contents.select_lines(kinds)
        if lines:
            self.run(url, [f"--use-list={use_list(folder, 'some', lines)}"])


def list_untrusted_extensions(own: OwnConnection, contents: Contents) -> list[str]:
    """Return the extensions of an archive that only a superuser may create."""
    trusted = {name for (name,) in own.query_rows(_TRUSTED)}
    return [name for name in contents.extensions if name not in trusted and name != "plpgsql"]


def let_in(other: OwnConnection, name: str) -> None:
    """Let others than superusers connect to a database that was made without."""
    other.query_rows(escape_colons(f"alter database {quote_name(name)} connection limit -1"))
