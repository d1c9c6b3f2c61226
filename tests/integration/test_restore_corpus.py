"""A corpus of object definitions, brought back by each method; the oracle is what pg_restore by itself makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_rehearser, find_write_tracker
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.write_counters import await_counters
from tests.integration.corpus import has_newer_clients, major_of, objects_for
from tests.integration.test_restore_postgresql import Customer, quiet
from tests.lab.postgres import PostgresServer
from tests.lab.shell import run

#: What is changed between the backup and each restore, of many kinds.
RUIN = """
DROP VIEW v1 CASCADE;
DROP TABLE t2 CASCADE;
DROP SCHEMA "S 2" CASCADE;
ALTER TABLE t3 SET LOGGED;
ALTER TABLE t1 DROP CONSTRAINT in_list, ALTER b SET DEFAULT 9, DISABLE TRIGGER g2;
DELETE FROM t1 WHERE id > 500;
ALTER TABLE part DETACH PARTITION part_2025;
COMMENT ON TABLE parent IS 'left behind';
COMMENT ON SCHEMA public IS NULL;
GRANT CREATE ON SCHEMA public TO reader;
REVOKE ALL ON SCHEMA s1 FROM reader;
CREATE TABLE half (id integer);
CREATE FUNCTION s1.left_behind() RETURNS integer LANGUAGE sql AS 'SELECT 1';
DROP CAST (e1 AS text);
ALTER SEQUENCE q1 RESTART 400;
SELECT lo_unlink(4712);
ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO reader;
ALTER DATABASE app SET default_transaction_read_only = on;
ALTER DATABASE app SET work_mem = '9MB';
COMMENT ON DATABASE app IS 'größer';
"""
ENTRY = re.compile(r"^\d+; \d+ \d+ ", re.MULTILINE)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(fsync=False) as running:
        running.execute("CREATE ROLE reader")
        yield running


@pytest.fixture(scope="module")
def corpus(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Customer:
    """The corpus in a database of its own, with what an owner's statements alone do not bring about."""
    password = server.create_role("owner", options="LOGIN CREATEDB")
    server.execute('CREATE DATABASE app OWNER "owner"')
    customer = Customer(server, "app", "owner", password, folder=tmp_path_factory.mktemp("backup"))
    own_public(server)
    customer.as_owner(objects_for(server))
    customer.as_owner("COMMENT ON DATABASE app IS 'ä database'; ALTER DATABASE app SET work_mem = '8MB'")
    customer.as_owner(
        "GRANT CONNECT ON DATABASE app TO reader WITH GRANT OPTION; REVOKE TEMPORARY ON DATABASE app FROM PUBLIC"
    )
    customer.as_owner("ALTER ROLE \"owner\" IN DATABASE app SET lock_timeout = '7s'")
    customer.as_owner("CREATE INDEX broken ON t1 (b)")
    server.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass", "app")
    return customer


@pytest.mark.parametrize("unseen", [[], ["another program"]])
def test_a_corpus_does_not_differ_from_its_own_backup(corpus: Customer, unseen: list[str], tmp_path: Path) -> None:
    archive = replace(corpus, folder=tmp_path).back_up()
    done = WrittenRows(archive.fingerprint, activity=archive.activity, unseen=unseen)
    with corpus.engine() as engine:
        tracker = find_write_tracker(engine)

        found = tracker.compare(archive, done, 1 << 30, quiet)

        assert (found.differences, found.others, found.not_compared) == ([], [], [])
        assert tracker.list_changes_by_others(archive, done) == []
        assert tracker.compare_schema(archive, done, quiet) == ([], [])


def test_what_was_counted_just_before_a_backup_is_not_taken_for_others(server: PostgresServer, tmp_path: Path) -> None:
    password = server.create_role("hasty", options="LOGIN")
    server.execute('CREATE DATABASE hasty OWNER "hasty"')
    customer = Customer(server, "hasty", "hasty", password, folder=tmp_path)
    # A server of before 15 answers by counts of half a second ago, if it was queried then.
    server.execute("SELECT count(*) FROM pg_stat_database")
    customer.as_owner("CREATE TABLE item (id integer); INSERT INTO item SELECT generate_series(1, 50)")

    archive = customer.back_up()

    with customer.engine() as engine:
        tracker = find_write_tracker(engine)
        engine.open_own_connection().run(await_counters)
        assert (
            tracker.list_changes_by_others(archive, WrittenRows(archive.fingerprint, activity=archive.activity)) == []
        )


def test_a_corpus_comes_back_by_each_method(corpus: Customer, server: PostgresServer) -> None:
    archive = corpus.back_up()
    assert len(ENTRY.findall(run([server.bin / "pg_restore", "--list", archive.path]))) >= 200
    expected = by_itself(corpus, archive.path)
    # A path that another sets meanwhile has no say in whether it is the same.
    server.execute('ALTER ROLE "owner" SET search_path = s1, pg_catalog')

    # Of before 15 only a superuser could bring public back in a new database.
    for method in ("swap", "in_place") if major_of(server) >= 15 else ("in_place",):
        server.execute(f'SET ROLE "owner"; SET search_path = public;{RUIN}', "app")
        restored = corpus.restore(archive, restore_method=method)

        assert restored.method == method
        assert restored.not_restored == []
        after = corpus.dump()
        if has_newer_clients(server):
            assert difference(without_database(expected), without_database(after)) == []
        else:
            assert difference(expected, after) == []

    if has_newer_clients(server):
        return  # they have the comment of public set, which is not the owner's in a copy
    with corpus.engine() as engine, find_rehearser(engine).open_scratch(archive, quiet) as scratch:
        assert scratch.fill() == []
        inside = replace(corpus, name=str(scratch.engine.url.database))
        found = difference(without_database(expected), without_database(inside.dump()))
        assert [line for line in found if major_of(server) >= 15 or "SCHEMA public" not in line] == []


def own_public(server: PostgresServer) -> None:
    """Give the owner what a database of before 15 does not give him; no archive of that time has it either."""
    if major_of(server) < 15:
        server.execute('ALTER SCHEMA public OWNER TO "owner"', "app")


def by_itself(customer: Customer, dump: Path) -> str:
    """Return the dump of what pg_restore makes of a dump."""
    server = customer.server
    server.execute("ALTER DATABASE app RENAME TO original")
    server.execute('CREATE DATABASE app OWNER "owner" TEMPLATE template0')
    if has_newer_clients(server):
        run([server.bin / "pg_restore", "--exit-on-error", "--dbname", server.url("app"), dump])
    else:
        whole = ["--exit-on-error", "--clean", "--if-exists", "--create"]
        run([server.bin / "pg_restore", *whole, "--dbname", server.url("postgres"), dump])
    own_public(server)
    text = customer.dump()
    server.execute("DROP DATABASE app")
    server.execute("ALTER DATABASE original RENAME TO app")
    return text


def without_database(dump: str) -> list[str]:
    """Return the lines of a dump without those of the database itself, which has another name in a copy."""
    return [line for line in dump.splitlines() if "DATABASE" not in line and "connect" not in line]


def difference(expected: str | list[str], found: str | list[str]) -> list[str]:
    old, new = (text.splitlines() if isinstance(text, str) else text for text in (expected, found))
    return [f"-{line}" for line in sorted(set(old) - set(new))] + [f"+{line}" for line in sorted(set(new) - set(old))]
