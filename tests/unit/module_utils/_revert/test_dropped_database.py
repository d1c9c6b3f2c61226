"""A database of PostgreSQL that was dropped comes back; another one of its name is not taken for it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.codes import assert_error
from tests.lab.fixtures import Database as Postgres
from tests.unit.stage import Host


def content(postgres: Postgres) -> str:
    """Return all that is in a database, by pg_dump."""
    server = postgres.server
    where = ("--host", server.host, "--port", str(server.port), "--username", server.user)
    command: list[str] = [str(server.bin / "pg_dump"), "--create", *where, postgres.name]
    done = subprocess.run(
        command, env={**os.environ, "PGPASSWORD": server.password}, capture_output=True, text=True, check=True
    )
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)


@pytest.fixture
def entry(host: Host, postgres_database: Postgres) -> Database:
    """A database with a row, a setting of its own and a backup."""
    entry = Database("app", postgres_database.url)
    host.ship("generic")
    host.result("upgrade", entry, run="r0", target="0001")
    postgres_database.execute("insert into item (id, name) values (1, 'one'), (2, 'two'); select lo_from_bytea(7, 'x')")
    postgres_database.execute(f'alter large object 7 owner to "{postgres_database.user}"')
    postgres_database.execute(f"alter database \"{postgres_database.name}\" set work_mem = '5MB'")
    host.result("backup", entry, run="r1")
    return entry


@pytest.mark.parametrize("by", ["createdb", "admin"])
def test_it_is_made_and_restored_where_that_is_allowed(
    host: Host, postgres_database: Postgres, entry: Database, by: str
) -> None:
    server, name = postgres_database.server, postgres_database.name
    before = content(postgres_database)
    server.drop_database(name)
    if by == "createdb":
        server.execute(f'alter role "{name}" createdb')
    else:
        entry = Database("app", entry.url, admin_url=server.url("postgres"))

    (foreseen,) = host.do("foresee_restore", entry, run="r2")["results"]
    done = host.result("restore", entry, run="r2")

    assert (foreseen["outcome"], done["outcome"]) == ("restored", "restored"), (foreseen, done)
    assert content(postgres_database) == before
    assert server.execute(f"select datname from pg_database where datname like '{name}%'") == [[name]]


def test_what_a_refusal_says_to_type_makes_it_restorable(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    server, name = postgres_database.server, postgres_database.name
    before = content(postgres_database)
    server.drop_database(name)

    (foreseen,) = host.do("foresee_restore", entry, run="r2")["results"]
    refused = host.result("restore", entry, run="r2")

    assert (foreseen["outcome"], refused["outcome"]) == ("refused", "refused"), (foreseen, refused)
    assert foreseen["error"] == refused["error"]
    command = refused["error"]["remedy"].partition("As a superuser: ")[2]
    path = f"{server.bin}:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", command], check=True, env={**os.environ, "PATH": path, "PGPASSWORD": server.password})
    done = host.result("restore", entry, run="r3")
    assert (done["outcome"], done["method"]) == ("restored", "in_place"), done
    assert content(postgres_database) == before


def test_one_that_was_made_anew_is_reported_and_one_that_was_restored_is_not(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    server, name = postgres_database.server, postgres_database.name
    assert host.plan(entry, target="0001", remember=True)["changed_history"] == []
    dump = content(postgres_database)
    server.drop_database(name)
    server.create_database(name, owner=name)
    script = dump.partition("\\connect")[2].partition("\n")[2]
    postgres_database.execute(script)  # it has the name of the other one

    for run in ("plan", "again"):
        (found,) = host.plan(entry, target="0001", remember=True, run=run)["changed_history"]
        assert_error(found, "database-made-anew", "'app'", "r1")
    (status,) = host.do("status", entry)["databases"]
    assert [finding["what"] for finding in status["changed_history"]] == [found["what"]]

    done = host.result("restore", entry, run="r2", restore_loses_writes=True)
    assert done["outcome"] == "restored", done
    assert host.plan(entry, target="0001")["changed_history"] == []


def test_a_restore_that_fails_leaves_no_empty_database(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    server, name = postgres_database.server, postgres_database.name
    server.drop_database(name)
    server.execute(f'alter role "{name}" createdb')
    (data, *_others) = sorted((host.layout.locate_backups("app") / "r1" / "dump").glob("*.dat.gz"))
    data.write_bytes(b"no gzip")

    done = host.result("restore", entry, run="r2")

    assert done["outcome"] == "failed", done
    assert server.execute(f"select datname from pg_database where datname like '{name}%'") == []
