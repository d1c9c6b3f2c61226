"""What a database holds, by its own programs: the entries of its dump, sorted, and what dumps leave out."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.lab.dumps import in_order
from tests.lab.postgres import PostgresServer
from tests.lab.shell import run

Entries = dict[str, str]

#: What restores retained, and Alembic's own table, which is compared apart.
_LEFT_OUT = ("--exclude-schema=alembic_aside_*",)
_ENTRY = re.compile(r"^--\n-- (?:Data for )?Name: (.+?)(?:; Owner: .*)?\n--\n", re.MULTILINE)
_NOISE = (
    "\\restrict",
    "\\unrestrict",
    "SET ",
    "SELECT pg_catalog.set_config(",
    "\\connect",
    "-- Dumped",
    "-- PostgreSQL",
)
_FACTS = """
SELECT format('index %s valid=%s ready=%s', indexrelid::regclass, indisvalid, indisready)
  FROM pg_index WHERE indexrelid >= 16384 AND (NOT indisvalid OR NOT indisready)
   AND indrelid::regclass::text !~ '^"?alembic_aside_'
UNION ALL
SELECT format('relation %s %s %s %s', oid::regclass, relpersistence, relrowsecurity, relforcerowsecurity)
  FROM pg_class
 WHERE oid >= 16384 AND relkind IN ('r', 'p', 'S', 'm')
   AND relnamespace::regnamespace::text !~ '^"?(pg_|alembic_aside_)'
UNION ALL
SELECT format('database %s %s', coalesce(datacl, acldefault('d', datdba)), datconnlimit)
  FROM pg_database WHERE datname = current_database()
ORDER BY 1
"""


def postgres_entries(server: PostgresServer, database: str, owner: str) -> Entries:
    """Every entry of pg_dump of a database by its name; rows are sorted, since a heap gives them in any order."""
    text = run([server.bin / "pg_dump", "--create", "--dbname", server.url(database), *_LEFT_OUT])
    pieces = _ENTRY.split(text)
    entries: Entries = {}
    for name, body in zip(pieces[1::2], pieces[2::2]):
        lines = "\n".join(in_order(body, _NOISE))
        key = _plain(name, database, owner)
        entries[key] = f"{entries.get(key, '')}{_plain(lines, database, owner)}"
    facts = "\n".join(row[0] for row in server.execute(_FACTS, database))
    entries["what dumps leave out"] = _plain(facts, database, owner)
    return entries


def _plain(text: str, database: str, owner: str) -> str:
    return text.replace(database, "DATABASE").replace(owner, "OWNER")


_PRAGMAS = ("user_version", "application_id", "encoding", "auto_vacuum", "page_size")
_HEALTH = ("integrity_check", "foreign_key_check")


def sqlite_entries(path: Path) -> Entries:
    """Every statement of SQLite's own dump, the pragmas that stay in a file, and the text of each definition."""
    if not path.exists():
        return {"no file": ""}
    entries: Entries = {
        "pragmas": run(["sqlite3", "-readonly", path, *(f"PRAGMA {name}" for name in (*_PRAGMAS, *_HEALTH))])
    }
    statement = ""
    for line in run(["sqlite3", "-readonly", path, ".dump"]).splitlines():
        statement += line if not statement else f"\n{line}"
        if sqlite3.complete_statement(statement):
            if statement.startswith(("CREATE ", "INSERT INTO sqlite_schema")):
                # The program writes that where the table's name is in quotes.
                statement = _unquoted(statement).replace("CREATE TABLE IF NOT EXISTS ", "CREATE TABLE ", 1)
            entries[f"{statement.partition(chr(10))[0][:100]} #{hash(statement) & 0xFFFFFF:x}"] = statement
            statement = ""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"):
            entries[f"{kind} {name}"] = _unquoted(sql)
    return entries


def _unquoted(statement: str) -> str:
    """A definition without the quotes that SQLite puts around a name it has changed, and with single spaces."""
    return " ".join(statement.replace('"', "").split())


def differences(one: Entries, other: Entries) -> str:
    """What differs, entry by entry; nothing if there is none. Alembic's own table may stay where it was not."""
    lines = []
    for key in sorted({*one, *other}):
        before, after = one.get(key, "(not there)"), other.get(key, "(not there)")
        if before != after:
            lines.append(f"{key}\n    was: {before}\n    is:  {after}")
    return "\n".join(lines)
