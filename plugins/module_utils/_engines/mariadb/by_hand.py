# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands for a person, where the rights that there are do not let a database be restored."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from .beside import FOR_SWAP
from .catalog import TABLES
from .client_input import EXACTLY, SETTINGS, leave_out_invalid_views
from .content import charset_of
from .dump import dump_options
from .quoting import grant_pattern, grantee, quoted
from .restore_method import may_not_make_code, missing, strangers
from .swap_state import NEW, OLD, names_for

if TYPE_CHECKING:
    from pathlib import Path

    from .session import MariaDBSession

#: An event that were loaded beside the database would run there; other defaults would be those of the database itself.
_FOR_TRIAL = (
    "/^-- Dumping events for database/,/^-- Dumping routines for database/d;"
    "/^ALTER DATABASE .* CHARACTER SET .* COLLATE [a-z0-9_]* ;;*$/d"
)


def rights_for_restore(engine: MariaDBSession) -> tuple[str, dict[str, Any]]:
    """Return what an administrator types so that a restore can be done, and the variables that it needs then."""
    if not missing(engine):
        return "", {}
    own = engine.own()
    user = grantee(str(own.rows("select current_user()")[0][0]))
    privileges = ", ".join(FOR_SWAP)
    places = [
        grant_pattern(engine.name_on_server),
        *(grant_pattern(names_for(engine.name_on_server, kind)[0], "%") for kind in (NEW, OLD)),
    ]
    grants = [f"grant {privileges} on {place}.* to {user}" for place in places]
    if strangers(own, engine.name_on_server):
        grants.append(f"grant set user on *.* to {user}")
    if may_not_make_code(own, engine.name_on_server):
        grants.append("set global log_bin_trust_function_creators = 1")
    words = [*_client(engine, "mariadb"), f"--execute={'; '.join(grants)}"]
    return shlex.join(words), {}


def command(engine: MariaDBSession, dump: Path) -> str:
    """Return what an administrator types to put a dump in the place of a database; the replaced one is dumped before.

    Only a dump that could be loaded into a schema of its own replaces anything. The client stops at the first error,
    and requests the password once for all of it.
    """
    schema, trial = engine.name_on_server, names_for(engine.name_on_server, NEW)[0]
    kept = dump.with_name(f"{schema.replace('/', '_')}-replaced.sql")
    found = charset_of(engine.own(), schema)
    charset = f" character set {found[0]} collate {found[1]}" if found else ""
    kinds = {str(kind) for _name, kind, _engine in engine.own().rows(TABLES)}
    options = [*dump_options(kinds), *leave_out_invalid_views(engine), f"--result-file={kept}"]
    keep = [*_client(engine, "mariadb-dump"), *options, schema]
    load = [*_client(engine, "mariadb"), *EXACTLY, f"--init-command={SETTINGS}"]
    begin = f"create or replace database {quoted(trial)}{charset}; use {quoted(trial)};"
    replace = f"drop database {quoted(trial)}; drop database {quoted(schema)};"
    replace += f" create database {quoted(schema)}{charset}; use {quoted(schema)};"
    script = [
        ["printf", "%s\\n", begin],
        ["sed", _FOR_TRIAL, str(dump)],
        ["printf", "%s\\n", replace],
        ["cat", str(dump)],
    ]
    words = " && ".join(map(shlex.join, script))
    # The client would not know otherwise that its input has ended too early.
    return f"{shlex.join(keep)} && ( {words} || echo 'the dump cannot be read;' ) | {shlex.join(load)}"


def _client(engine: MariaDBSession, program: str) -> list[str]:
    url, words = engine.url, [program, "--user=root", "--password"]
    socket = url.query.get("unix_socket")
    if socket:
        return [*words, f"--socket={socket}"]
    words += [f"--host={url.host}"] if url.host else []
    return words + ([f"--port={url.port}"] if url.port else [])
