"""The whole content of a database as text, made by the databases' own programs and by none of the code under test."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tests.faults import mariadb
from tests.integration.targets import MariaDBTarget, PostgresTarget, SQLiteTarget, Target
from tests.lab.dumps import in_order
from tests.lab.shell import run

#: What restores leave on purpose, and Alembic's own table, which is compared apart.
_LEFT_OUT = ("--exclude-schema=alembic_aside_*", "--exclude-table=*.alembic_version*")
_INVALID = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid ORDER BY 1"


def digest(target: Target) -> str:
    """All schema and all rows, the same text for the same content whatever the database's name."""
    if isinstance(target, PostgresTarget):
        return postgres_digest(target, target.name)
    if isinstance(target, MariaDBTarget):
        return mariadb.digest(target)
    assert isinstance(target, SQLiteTarget)
    return sqlite_digest(target.path)


def postgres_digest(target: PostgresTarget, database: str) -> str:
    """The same of another database of the target's server."""
    server = target.database.server
    text = run([server.bin / "pg_dump", "--dbname", server.url(database), *_LEFT_OUT])
    invalid = [f"INVALID {row[0]}" for row in server.execute(_INVALID, database) if "alembic_aside_" not in row[0]]
    # Owners and privileges name the role, which differs from one test's database to the next one's.
    return "\n".join([*in_order(text), *invalid]).replace(target.database.user, "OWNER")


def sqlite_digest(path: Path) -> str:
    """All statements that would make the file again, and what SQLite itself thinks of it."""
    if not path.exists():
        return "no file"
    health = run(["sqlite3", "-readonly", path, "PRAGMA integrity_check", "PRAGMA foreign_key_check"])
    statements = _statements(run(["sqlite3", "-readonly", path, ".dump"]))
    return "\n".join([health, *sorted(_plain(each) for each in statements if "alembic_version" not in each)])


def _statements(dump: str) -> Iterator[str]:
    """Yield whole statements, which may have line breaks in them."""
    statement = ""
    for line in dump.splitlines():
        statement += line if not statement else f"\n{line}"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _plain(statement: str) -> str:
    """A definition without what Alembic's batches, and SQLite for them, write differently from a plain CREATE."""
    if not statement.startswith("CREATE "):
        return statement
    return " ".join(statement.replace('"', "").replace(" IF NOT EXISTS", "", 1).split())
