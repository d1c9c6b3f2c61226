"""One schema of a database: locks of two levels, and statements that mean it in whichever session they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database as Entry
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.catalog_changes import (
    read_catalog_rows,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.engine import PostgreSQL
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.schema_bonds import (
    list_dependents,
    list_needed_elsewhere,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.write_counters import read_activity
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import refused
from tests.lab.fixtures import Database

TWO = """
create table public.shared (id integer primary key);
create type public.mood as enum ('a');
create schema "o'n%e"; create schema two;
create table "o'n%e".item (id integer primary key, s integer references public.shared, m public.mood);
create table two.item (id serial primary key, s integer references public.shared);
comment on table "o'n%e".item is 'of one'; comment on table two.item is 'of two';
create type "o'n%e".state as enum ('x'); create type two.state as enum ('x');
insert into two.item default values; insert into two.item default values;
"""


@pytest.fixture
def engines(postgres_database: Database) -> Iterator[dict[str, PostgreSQL]]:
    postgres_database.execute(TWO)
    postgres_database.execute("select pg_stat_clear_snapshot()")
    url, job = postgres_database.server.url(postgres_database.name), Job("upgrade", "/nowhere")
    found = {}
    for schema in ("", "o'n%e", "two"):
        engine = build_engine(Entry(schema or "all", url, schema=schema), job)
        assert isinstance(engine, PostgreSQL)
        found[schema] = engine
    yield found
    for engine in found.values():
        engine.close()


def fingerprint(engine: PostgreSQL) -> set[str]:
    return set(engine.open_own_connection().run(engine.read_fingerprint, frozenset()))


def test_a_schema_has_what_the_database_has_of_it_and_nothing_else(engines: dict[str, PostgreSQL]) -> None:
    whole, one, two = (fingerprint(engines[name]) for name in ("", "o'n%e", "two"))
    assert one | two < whole
    assert [line.partition(" ")[0] for line in one & two] == ["server"]
    assert all("shared" not in line or "references" in line.lower() for line in one | two)
    assert {line for line in whole if "two.item" in line} <= two

    counted = {name: engines[name].open_own_connection().run(read_activity) for name in engines}
    assert set(counted["two"]["relations"]) < set(counted[""]["relations"])
    assert [facts[0] for facts in counted["two"]["files"].values()] == ["two.item"]
    assert len(counted["two"]["sequence_uses"]) == 1
    assert counted["o'n%e"]["sequence_uses"] == {}

    rows = {name: engines[name].open_own_connection().run(read_catalog_rows) for name in engines}
    for catalog in ("pg_description", "pg_enum"):
        numbers = {name: sum(rows[name].get(catalog, {}).values()) for name in engines}
        assert (numbers["two"], numbers["o'n%e"]) == (1, 1)
        assert numbers[""] > 2
    assert not {"pg_extension", "pg_cast", "pg_db_role_setting"} & rows["two"].keys()


def test_what_hangs_on_a_schema_and_what_it_needs(engines: dict[str, PostgreSQL], postgres_database: Database) -> None:
    own = engines["o'n%e"].open_own_connection()
    assert list_dependents(own) == []
    assert list_needed_elsewhere(own) == ["table shared", "type mood"]
    postgres_database.execute('create view two.seen as select id from "o\'n%e".item')
    assert list_dependents(own) == ["rule _RETURN on view two.seen"]
    assert list_dependents(engines["two"].open_own_connection()) == []


def test_a_session_knows_its_schema_by_a_setting(engines: dict[str, PostgreSQL]) -> None:
    with closing(engines["two"].connect()) as connection:
        assert connection.query_rows("select current_setting('hosting_alembic.schema', true)") == [("two",)]
    assert engines[""].open_own_connection().query_rows(
        "select coalesce(current_setting('hosting_alembic.schema', true), '')"
    ) == [("",)]


def test_what_an_earlier_version_retained_is_in_the_backup_of_the_whole_and_of_no_tenant(
    engines: dict[str, PostgreSQL], postgres_database: Database, tmp_path: Path
) -> None:
    postgres_database.execute("create schema alembic_retained_r1; create table alembic_retained_r1.old (id integer)")
    for schema, expected in (("", True), ("two", False)):
        folder = tmp_path / (schema or "all")
        folder.mkdir()
        dump = engines[schema].dump(folder, True, lambda _words: None)
        assert ("alembic_retained_r1.old" in (dump.row_counts or {})) is expected


def test_a_file_has_no_schema() -> None:
    with refused("schema-not-supported", "app"):
        build_engine(Entry("app", "sqlite:////nowhere/app.db", schema="s"), Job("upgrade", "/nowhere"))
