# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands for a person, where the rights that there are do not let a database be restored."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from .beside import FOR_SWAP
from .quoting import quoted
from .restore_method import missing, strangers
from .swap_state import NEW, OLD, names_for

if TYPE_CHECKING:
    from pathlib import Path

    from .session import MariaDBSession

_CHARSET = """
select default_character_set_name, default_collation_name from information_schema.schemata where schema_name = :schema
"""


def rights_for_restore(engine: MariaDBSession) -> tuple[str, dict[str, Any]]:
    """Return what an administrator types so that a restore can be done, and the variables that it needs then."""
    if not missing(engine):
        return "", {}
    own = engine.own()
    user, _at, host = str(own.rows("select current_user()")[0][0]).rpartition("@")
    grantee = f"{quoted(user)}@{quoted(host)}"
    privileges = ", ".join(FOR_SWAP)
    places = [
        _pattern(engine.name_on_server),
        *(_pattern(names_for(engine.name_on_server, kind)[0]) + "%" for kind in (NEW, OLD)),
    ]
    grants = [f"grant {privileges} on {quoted(place)}.* to {grantee}" for place in places]
    if strangers(own, engine.name_on_server):
        grants.append(f"grant set user on *.* to {grantee}")
    words = [*_client(engine, "mariadb"), f"--execute={'; '.join(grants)}"]
    return shlex.join(words), {}


def command(engine: MariaDBSession, dump: Path) -> str:
    """Return what an administrator types to put a dump in the place of a database; the replaced one is dumped before.

    The password is requested.
    """
    schema = engine.name_on_server
    kept = dump.with_name(f"{schema.replace('/', '_')}-replaced.sql")
    found = engine.own().rows(_CHARSET, schema=schema)
    charset = f" character set {found[0][0]} collate {found[0][1]}" if found else ""
    options = ["--single-transaction", "--routines", "--triggers", "--events", "--hex-blob"]
    keep = [*_client(engine, "mariadb-dump"), *options, f"--result-file={kept}", schema]
    make = [
        *_client(engine, "mariadb"),
        f"--execute=drop database {quoted(schema)}; create database {quoted(schema)}{charset}",
    ]
    load = [*_client(engine, "mariadb"), "--comments", "--binary-mode", schema]
    return f"{shlex.join(keep)} && {shlex.join(make)} && {shlex.join(load)} < {shlex.quote(str(dump))}"


def _client(engine: MariaDBSession, program: str) -> list[str]:
    url, words = engine.url, [program, "--user=root", "--password"]
    socket = url.query.get("unix_socket")
    if socket:
        return [*words, f"--socket={socket}"]
    words += [f"--host={url.host}"] if url.host else []
    return words + ([f"--port={url.port}"] if url.port else [])


def _pattern(schema: str) -> str:
    """Return a schema's name as a grant means it, in which _ and % are any characters."""
    return schema.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
