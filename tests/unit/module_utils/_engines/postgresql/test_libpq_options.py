"""What SQLAlchemy and libpq take in a URL comes to the same server by pg_dump's programs and by our own connections."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import parse_dsn
from sqlalchemy import make_url

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._engines.connection import OwnConnection
from ansible_collections.hosting.alembic.plugins.module_utils._engines.migration_url import (
    build_migration_url,
    build_own_url,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql import client_tools
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.libpq_options import (
    KEYWORDS,
    SECRETS,
    VARIABLES,
    build_libpq_options,
    build_program_options,
    is_local,
)
from tests.lab.fixtures import Database as Postgres
from tests.lab.server import free_port

#: What libpq lists for its own debugging, or keeps for programs of long ago.
NOT_OURS = {"authtype", "tty", "requiressl", "sslkeylogfile"}
#: Options that are in a URL's own places, or that the client program decides.
ELSEWHERE = {"user", "password", "dbname", "host", "port"}
OF_THE_PROGRAM = {"application_name", "fallback_application_name", "client_encoding", "replication"}


class _Option(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")),
        ("dispsize", ctypes.c_int),
    ]


def conndefaults() -> dict[str, str]:
    """Return the keywords of the libpq that this machine's client programs use, each with its variable."""
    listed = ctypes.CDLL("libpq.so.5").PQconndefaults
    listed.restype = ctypes.POINTER(_Option)
    found, options, number = {}, listed(), 0
    while options[number].keyword:
        found[options[number].keyword.decode()] = (options[number].envvar or b"").decode()
        number += 1
    return found


def test_every_variable_of_libpq_is_known() -> None:
    elsewhere = {"service", "servicefile", "dbname"} | OF_THE_PROGRAM | NOT_OURS
    theirs = {name: keyword for keyword, name in conndefaults().items() if name and keyword not in elsewhere}
    assert theirs.items() <= VARIABLES.items()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u@/d", {"user": "u", "host": "db", "port": "7", "sslmode": "require"}),
        ("postgresql:///d", {"user": "other", "host": "db", "port": "7", "sslmode": "require"}),
        ("postgresql://u@h/d", {"user": "u", "host": "h", "port": "7", "sslmode": "require"}),
        ("postgresql://u:p@h:5/d?sslmode=disable", {"user": "u", "host": "h", "port": "5", "sslmode": "disable"}),
        ("postgresql://u@/d?host=/run/pg", {"user": "u", "host": "/run/pg", "port": "7", "sslmode": "require"}),
        ("postgresql+asyncpg://u@/d", {"user": "u", "host": "db", "port": "7"}),
    ],
)
def test_what_an_entry_gives_in_its_environment_is_where_its_url_leads(url: str, expected: dict[str, str]) -> None:
    given = {"PGHOST": "db", "PGPORT": "7", "PGUSER": "other", "PGPASSWORD": "p", "PGSSLMODE": "require"}
    entry = Database("shop", url, environment=given)
    assert build_libpq_options(build_migration_url(entry)) == {"dbname": "d", "password": "p", **expected}
    socket = Database("shop", "postgresql://u@/d", environment={"PGHOST": "/run/pg", "PGPORT": "7"})
    assert build_libpq_options(build_migration_url(socket)) == {
        "user": "u",
        "dbname": "d",
        "host": "/run/pg",
        "port": "7",
    }
    assert "host" not in build_libpq_options(
        build_migration_url(Database("shop", "postgresql://u@/d", environment=given), "admin_url")
    )


def test_every_option_of_libpq_is_known() -> None:
    assert set(conndefaults()) - NOT_OURS <= KEYWORDS


@pytest.mark.parametrize("keyword", sorted(KEYWORDS - ELSEWHERE - {"service", "servicefile"}))
def test_an_option_in_a_url_reaches_the_client_programs_unless_it_is_secret(keyword: str) -> None:
    url = make_url(f"postgresql+asyncpg://u@h/d?{keyword}=5&prepared_statement_cache_size=0&command_timeout=3")

    given = build_program_options(url)

    assert build_libpq_options(url)[keyword] == "5"
    assert given.get(keyword) == (None if keyword in SECRETS | OF_THE_PROGRAM else "5")
    assert set(given) <= {"host", "user", "dbname", keyword}
    assert build_own_url(url).query == {keyword: "5"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u@h:1/d", {"host": "h", "port": "1"}),
        ("postgresql://u@/d?host=a:1&host=b:2", {"host": "a,b", "port": "1,2"}),
        ("postgresql://u@/d?host=a,b&port=1,2", {"host": "a,b", "port": "1,2"}),
        ("postgresql://u@/d?host=a&host=b", {"host": "a,b"}),
        ("postgresql://u@/d?host=a:1", {"host": "a", "port": "1"}),
        ("postgresql://u@h:5/d?host=a,b", {"host": "a,b", "port": "5"}),
        ("postgresql://u@/d?host=/run/pg&port=7", {"host": "/run/pg", "port": "7"}),
        ("postgresql://u@/d?host=::1", {"host": "::1"}),
        ("postgresql://u@h/d?port=9", {"host": "h", "port": "9"}),
        ("postgresql+asyncpg://u@h/d?ssl=require", {"host": "h", "sslmode": "require"}),
        ("postgresql+asyncpg://u@h/d?ssl=true", {"host": "h", "sslmode": "require"}),
        ("postgresql+pg8000://u@/d?unix_sock=/run/pg/.s.PGSQL.5432", {"host": "/run/pg"}),
    ],
)
def test_hosts_are_read_as_sqlalchemy_reads_them(url: str, expected: dict[str, str]) -> None:
    assert build_libpq_options(make_url(url)) == {"user": "u", "dbname": "d", **expected}
    assert parse_dsn(client_tools.build_conninfo(make_url(url))) == {"user": "u", "dbname": "d", **expected}


@pytest.mark.parametrize(
    ("query", "local"),
    [("host=/run/pg", True), ("host=localhost&host=127.0.0.1:2", True), ("host=localhost&host=db", False), ("", True)],
)
def test_a_server_is_here_only_if_each_of_its_addresses_is(query: str, local: bool) -> None:
    assert is_local(make_url(f"postgresql://u@/d?{query}")) == local


def test_a_service_is_read_and_what_the_url_says_goes_before_it(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("[shop]\nhost=db\nport=7\nuser=u\npassword=p%40\ndbname=d\nsslmode=require\n")
    entry = Database("shop", "postgresql://other@/?service=shop", environment={"PGSERVICEFILE": str(file)})

    options = build_libpq_options(build_migration_url(entry))

    expected = {"host": "db", "port": "7", "user": "other", "password": "p%40", "dbname": "d", "sslmode": "require"}
    assert options == expected


def both_ways(url: str, **more: Any) -> tuple[str, str]:
    """Return the database that a client program and a connection of our own come to."""
    meant = build_migration_url(Database("shop", url, **more))
    command = ["psql", "--no-psqlrc", "-At", "-c", "select current_database()", client_tools.build_conninfo(meant)]
    by_psql = subprocess.run(
        command, env=client_tools.build_environment(meant, "test"), check=True, capture_output=True, text=True
    ).stdout.strip()
    with OwnConnection(build_own_url(meant)) as own:
        return by_psql, str(own.query_rows("select current_database()")[0][0])


def test_each_way_to_name_a_server_leads_there(postgres_database: Postgres, tmp_path: Path) -> None:
    one = postgres_database
    host, port, dead = one.server.host, one.server.port, free_port()
    who = f"{one.user}:{one.password}"
    passwords = tmp_path / "passwords"
    passwords.write_text(f"{host}:{port}:*:{one.user}:{one.password}\n")
    passwords.chmod(0o600)
    service = tmp_path / "services"
    service.write_text(
        f"[shop]\nhost={host}\nport={port}\nuser={one.user}\npassword={one.password}\ndbname={one.name}\n"
    )
    urls = [
        f"postgresql://{who}@{host}:{port}/{one.name}?connect_timeout=5&keepalives=1",
        f"postgresql://{who}@/{one.name}?host={host}:{dead}&host={host}:{port}&target_session_attrs=read-write",
        f"postgresql://{who}@/{one.name}?host={host},{host}&port={dead},{port}",
        f"postgresql://{who}@nowhere.invalid:{port}/{one.name}?hostaddr={host}",
        f"postgresql://{one.user}@{host}:{port}/{one.name}?passfile={passwords}",
        f"postgresql://{who}@{host}:{port}/",
        f"postgresql:///?service=shop&servicefile={service}",
        f"postgresql+asyncpg://{who}@{host}:{port}/{one.name}?prepared_statement_cache_size=0&ssl=prefer",
    ]

    for url in urls:
        assert both_ways(url) == (one.name, one.name), url
