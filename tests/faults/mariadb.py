"""Databases of MariaDB as the faults need them: their rights, their content as text, what lies beside them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import MariaDBServer, literal, program
from tests.lab.shell import CommandFailed, run

#: One row a line, so that they can be sorted: a table without a primary key gives them in any order.
_OPTIONS = ("--routines", "--triggers", "--events", "--hex-blob", "--single-transaction", "--skip-comments")
_ROWS = ("--skip-extended-insert", "--order-by-primary")
#: What the database itself is made with, which a dump of its tables leaves out.
_DEFAULTS = "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata"


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def digest(target: MariaDBTarget, name: str = "") -> str:
    """All schema and all rows of a database, or of another one of the same server.

    What restores retain is left out, also in the database itself; Alembic's version table is compared apart.
    """
    server, database = target.database.server, target.database
    name = name or database.name
    words = [program("mariadb-dump"), "--no-defaults", f"--socket={server.socket}", f"--user={server.user}"]
    try:
        retained = server.execute("show tables like 'hosting\\_alembic\\_old\\_%'", name)
        left_out = [f"--ignore-table={name}.{each}" for each in ["alembic_version", *(table for (table,) in retained)]]
        text = run([*words, *_OPTIONS, *_ROWS, *left_out, name], env={"MYSQL_PWD": server.password})
    except CommandFailed as error:
        # It stops at a view that reads what is gone.
        return f"no dump: {error}"
    where = f" WHERE schema_name = {literal(name)}"
    text = f"{server.execute(_DEFAULTS + where)}\n{text}"
    # Names differ from one test's database to the next one's.
    for word in (database.name, name, database.user):
        text = text.replace(quoted(word), "`OWNER`")
    # The text of a view that was loaded into another database names that one before each table.
    text = text.replace("`OWNER`.`", "`")
    return "\n".join(_rows_in_order(text))


def _rows_in_order(text: str) -> Iterator[str]:
    rows: list[str] = []
    for line in text.splitlines():
        if line.startswith("INSERT INTO "):
            rows.append(line)
            continue
        yield from sorted(rows)
        rows = []
        if line:
            yield line
    yield from sorted(rows)


def allow_restores(target: MariaDBTarget) -> None:
    """Give a customer what a restore takes, and what shows that no other session has written."""
    server, user = target.database.server, literal(target.database.user)
    server.execute(f"GRANT ALL ON `hosting\\_alembic\\_%`.* TO {user}@'%'; GRANT PROCESS ON *.* TO {user}@'%'")


@contextmanager
def another(target: MariaDBTarget) -> Iterator[MariaDBTarget]:
    """An empty database beside a target, with a user of its own."""
    with another_plain(target.database.server) as made:
        yield made


@contextmanager
def another_plain(server: MariaDBServer) -> Iterator[MariaDBTarget]:
    name = f"clean_{secrets.token_hex(4)}"
    password = server.create_user(name)
    server.create_database(name, owner=name)
    yield MariaDBTarget(MariaDatabase(server, name, name, password))
    server.drop_database(name)
    server.execute(f"DROP USER '{name}'@'%'")


@contextmanager
def named(target: MariaDBTarget, name: str) -> Iterator[MariaDBTarget]:
    """An empty database of a name, for the user of a target."""
    server, user = target.database.server, literal(target.database.user)
    pattern = quoted(re.sub(r"([%_\\])", r"\\\1", name))
    server.execute(f"CREATE DATABASE {quoted(name)} CHARACTER SET utf8mb4")
    server.execute(f"GRANT ALL PRIVILEGES ON {pattern}.* TO {user}@'%'")
    yield MariaDBTarget(replace(target.database, name=name))
    server.execute(f"DROP DATABASE {quoted(name)}")


@contextmanager
def loaded(target: MariaDBTarget, dump: Path) -> Iterator[str]:
    """A database into which the server's own client has loaded a dump."""
    server, name = target.database.server, f"back_{secrets.token_hex(4)}"
    server.create_database(name)
    server.execute(dump.read_text(), name)
    yield name
    server.drop_database(name)


def as_typed(target: MariaDBTarget, command: str) -> str:
    """A printed command for root of this server, who comes through the socket and has no password."""
    server: MariaDBServer = target.database.server
    typed = command.replace("--user=root --password", f"--no-defaults --user=root --socket={server.socket}")
    return typed.replace(f"--host={server.host} --port={server.port}", "")


def drop_retained(target: MariaDBTarget) -> None:
    """Drop what restores have retained on the server of a test."""
    server = target.database.server
    names = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'hosting\\_alembic\\_%'"
    for (name,) in server.execute(names):
        server.execute(f"SET foreign_key_checks = 0; DROP DATABASE {quoted(name)}")
