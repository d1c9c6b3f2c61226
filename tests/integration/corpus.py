"""The corpus of object definitions, as a server of each version and build takes it."""

from __future__ import annotations

from pathlib import Path

from tests.lab.postgres import PostgresServer
from tests.lab.shell import run

_FIXTURES = Path(__file__).parents[1] / "fixtures"
#: What an earlier version does not know yet, and what is there in its place.
_SINCE = {
    14: {
        "BEGIN ATOMIC SELECT 1, 'a'::text, 'b'::e1; END": "AS $$SELECT 1, 'a'::text, 'b'::e1$$",
        "RETURN x * (2 + 3)": "AS 'SELECT x * (2 + 3)'",
        "ALTER TABLE t1 ALTER i SET COMPRESSION pglz;": "",
        "ON (lower(a)), (b + 1) FROM t1": "ON a, b FROM t1",
    },
    15: {"UNIQUE NULLS NOT DISTINCT": "UNIQUE", "WITH (security_invoker = true) ": ""},
}
_OF_ICU = {
    "(provider = icu, locale = 'de-DE-u-co-phonebk')": "(provider = libc, locale = 'C')",
    "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)": "(provider = libc, locale = 'POSIX')",
}


def major_of(server: PostgresServer) -> int:
    """Return the major version of a server."""
    return int(server.execute("SHOW server_version_num")[0][0]) // 10000


def has_newer_clients(server: PostgresServer) -> bool:
    """Return whether the client programs are of a later version, whose CREATE DATABASE the server may not know."""
    # pg_dump (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)
    return int(run([server.bin / "pg_dump", "--version"]).split()[2].partition(".")[0]) > major_of(server)


def objects_for(server: PostgresServer, then: PostgresServer | None = None) -> str:
    """Return the statements that a server understands, and another that takes what they have made."""
    major = major_of(server)
    text = (_FIXTURES / "objects.sql").read_text()
    replaced = [pairs for since, pairs in _SINCE.items() if major < since]
    icu = "SELECT count(*) FROM pg_collation WHERE collname = 'und-x-icu'"
    if any(each.execute(icu) == [["0"]] for each in (server, then) if each):
        replaced.append(_OF_ICU)
    for old, new in (pair for pairs in replaced for pair in pairs.items()):
        assert old in text
        text = text.replace(old, new)
    later = sorted(_FIXTURES.glob("objects_since_*.sql"))
    return text + "".join(path.read_text() for path in later if int(path.stem.rpartition("_")[2]) <= major)
