# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands for a person, where the rights that there are do not let a database be restored."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from ..restorer import TIME_TYPED
from .backup import dump_options
from .catalog import TABLES
from .client_input import EXACTLY, SETTINGS, leave_out_invalid_views, read_invalid_views
from .client_tools import build_manual_words
from .content import read_charset
from .defaults import find_defaults
from .dump_text import Definitions, parse_dump
from .privileges import parse_privileges, read_grants, select_missing
from .quoting import qualify_name, quote_name
from .remaking import may_not_make
from .restore_method import build_administrator_command, build_grant_command, describe_missing_rights
from .same_name import TABLE_IS_HERE, match_name
from .scripts import Pieces, build_redo
from .swap_state import NEW, build_schema_names
from .which_place import FOR_SWAP

if TYPE_CHECKING:
    from ..data import Archive
    from .session import MariaDBSession

#: An event that were loaded beside the database would run there; other defaults would be those of the database itself.
_FOR_TRIAL = (
    "/^-- Dumping events for database/,/^-- Dumping routines for database/d;"
    "/^ALTER DATABASE .* CHARACTER SET .* COLLATE [a-z0-9_]* ;;*$/d"
)
_NAME = "'`', replace({}, '`', '``'), '`'"
#: What is in the database that the client uses. A package is dropped in that mode only, with its body.
_DROP_ALL = " ".join(
    f"""
begin not atomic set session sql_mode = 'ORACLE'; for found in (
 select concat('drop ', if(table_type = 'VIEW', 'view', 'table'), ' if exists ', {_NAME.format("table_name")}) as words
   from information_schema.tables where {TABLE_IS_HERE}
 union all select concat('drop ', routine_type, ' if exists ', {_NAME.format("routine_name")})
   from information_schema.routines
  where {match_name("routine_schema", "database()")} and routine_type <> 'PACKAGE BODY'
 union all select concat('drop event if exists ', {_NAME.format("event_name")})
   from information_schema.events where {match_name("event_schema", "database()")}
 order by words
) do execute immediate found.words; end for; set session sql_mode = default; end
""".split()
)


def find_restore_rights(engine: MariaDBSession, archive: Archive) -> tuple[str, dict[str, Any]]:
    """Return what an administrator types so that a restore can be done, and the variables that it needs then."""
    pieces = _list_all_pieces(_read_definitions(archive))
    if not describe_missing_rights(engine) and not may_not_make(engine, pieces):
        return "", {}
    return build_grant_command(engine, pieces), {}


def build_manual_command(engine: MariaDBSession, archive: Archive) -> str:
    """Return what an administrator types to put a dump in the place of a database; the replaced one is dumped before.

    Only a dump that could be loaded into a schema of its own replaces anything. The client stops at the first error,
    and requests the password once for all of it.
    """
    schema, trial, dump = engine.name_on_server, build_schema_names(engine.name_on_server, NEW)[0], str(archive.path)
    found = _build_charset_clause(engine, archive)
    charset = f" {found}" if found else ""
    load = [*build_administrator_command(engine, "mariadb"), *EXACTLY, f"--init-command={SETTINGS}"]
    begin = f"create or replace database {quote_name(trial)}{charset}; use {quote_name(trial)};"
    replace = f"drop database {quote_name(trial)}; drop database {quote_name(schema)};"
    replace += f" create database {quote_name(schema)}{charset}; use {quote_name(schema)};"
    views, output = _list_view_lines(engine, archive)
    script = [_build_printf(begin), ["sed", _FOR_TRIAL, dump], _build_printf(*views, replace), ["cat", dump]]
    kept = _keep(engine, archive, build_administrator_command(engine, "mariadb-dump"))
    return f"{kept} && {_pipe_commands(script, load)}{output}"


def build_user_command(engine: MariaDBSession, archive: Archive) -> str:
    """Return what the database's own user types to fill it from a dump, without a right on anything else.

    What is in the database is dumped before, and a dump that is not the one that was proven drops nothing.

    Returns:
        Nothing where he may not make all that the dump has, so that it would end in the middle.
    """
    own, schema = engine.open_own_connection(), engine.name_on_server
    if select_missing(parse_privileges(schema, own.run(read_grants)), FOR_SWAP) or not archive.sha256:
        return ""
    before = _read_definitions(archive)
    if before.not_understood or may_not_make(engine, _list_all_pieces(before)):
        return ""
    mine, charset = build_manual_words(engine.url, engine.driver), _build_charset_clause(engine, archive)
    proves = shlex.join(["printf", "%s  %s\\n", archive.sha256, str(archive.path)]) + " | sha256sum --check --quiet"
    load = ["mariadb", *mine, *EXACTLY, f"--init-command={SETTINGS}", f"--database={schema}"]
    views, output = _list_view_lines(engine, archive)
    begin = [*views, "set session foreign_key_checks = 0;", "DELIMITER //", f"{_DROP_ALL}//", "DELIMITER ;"]
    begin += [f"alter database {quote_name(schema)} {charset};"] if charset else []
    script = [_build_printf(*begin), ["cat", str(archive.path)]]
    return f"{proves} && {_keep(engine, archive, ['mariadb-dump', *mine])} && {_pipe_commands(script, load)}{output}"


def _read_definitions(archive: Archive) -> Definitions:
    with archive.path.open("rb") as lines:
        return parse_dump(lines)


def _list_all_pieces(before: Definitions) -> Pieces:
    """Return what makes all that a dump has besides its tables."""
    return build_redo(before, Definitions(), set(), before.list_tables())


def _build_charset_clause(engine: MariaDBSession, archive: Archive) -> str:
    """Return the defaults that the database had, as words of a statement."""
    found = find_defaults(archive.fingerprint) or read_charset(engine.open_own_connection(), engine.name_on_server)
    return f"character set {found[0]} collate {found[1]}" if found else ""


def _keep(engine: MariaDBSession, archive: Archive, begins: list[str]) -> str:
    """Return what dumps the database as it is, beside the dump that is to replace it."""
    kinds = {str(kind) for _name, kind, _engine in engine.open_own_connection().query_rows(TABLES)}
    words = [*begins, *dump_options(kinds), *leave_out_invalid_views(engine)]
    target = f"--result-file={_render_kept_path(engine, archive)}.sql"
    return f"{shlex.join(words)} {target} -- {shlex.quote(engine.name_on_server)}"


def _list_view_lines(engine: MariaDBSession, archive: Archive) -> tuple[list[str], str]:
    """Return the lines that print the views which no dump can have now, and the file that it goes to.

    Where the command is typed again they are gone, and it goes on without them.
    """
    shows = [f"show create view {qualify_name(engine.name_on_server, name)};" for name in read_invalid_views(engine)]
    if not shows:
        return [], ""
    block = ["begin not atomic declare continue handler for sqlexception begin end;", *shows, "end//"]
    return ["DELIMITER //", *block, "DELIMITER ;"], f" > {_render_kept_path(engine, archive)}-views.txt"


def _render_kept_path(engine: MariaDBSession, archive: Archive) -> str:
    """Return how the files begin in which is kept what is replaced, for a shell."""
    name = f"{engine.name_on_server.replace('/', '_')}-replaced-"
    return shlex.quote(str(archive.path.with_name(name))) + TIME_TYPED


def _build_printf(*lines: str) -> list[str]:
    return ["printf", "%s\\n", *lines]


def _pipe_commands(script: list[list[str]], load: list[str]) -> str:
    words = " && ".join(map(shlex.join, script))
    # The client would not know otherwise that its input has ended too early.
    return f"( {words} || echo 'the dump cannot be read;' ) | {shlex.join(load)}"
