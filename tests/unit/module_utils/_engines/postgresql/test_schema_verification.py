"""What a restore brought is the archive's schema to the letter, but for what the server renders anew."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import HALF_WAY, Failed
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.client_tools import find_tools
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.engine import PostgreSQL
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.psql import Contents
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.schema_verification import (
    RestoredSchema,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.session import read_major_version
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import Database as Postgres

SCHEMA = """
create table item (id serial primary key, name varchar(9) check (name in ('a', 'b')), size integer);
create index chosen on item (id) where name in ('a', 'b');
create view names as select name from item where (size + 1) * 2 > 4 and name in ('a', 'b');
create function twice(n integer) returns integer language sql immutable as 'select (n * 2)';
create rule keep as on delete to item do instead nothing;
create statistics both_columns on name, size from item;
create publication p for table item;
comment on table item is 'one';
grant select on item to pg_monitor;
create sequence number;
"""


class Restored:
    """A database that pg_restore by itself has made of an archive, and the comparison with it."""

    def __init__(self, folder: Path, database: Postgres) -> None:
        self.database, self.server = database, database.server
        database.execute(SCHEMA)
        engine = build_engine(Database("app", self.server.url(database.name)), Job("backup", str(folder), run="r1"))
        assert isinstance(engine, PostgreSQL)
        self.engine = engine
        archive = engine.dump(folder, False, _silent).path
        # As the archive's, which are those of the server's version where there are any.
        found = find_tools("", engine.open_own_connection().run(read_major_version))
        engine.close()
        assert found is not None
        self.server.drop_database(database.name)
        self.server.create_database(database.name, owner=database.user)
        restore = [str(self.server.bin / "pg_restore"), "--exit-on-error", f"--dbname={self.server.url(database.name)}"]
        subprocess.run([*restore, str(archive)], check=True)
        self.lines = Contents.of(found, archive, _silent).lines
        self.schema = RestoredSchema(found, archive, "test", _silent, 5)

    def after(self, change: str) -> list[str]:
        self.database.execute(change)
        return self.schema.list_differences(self.lines, self.engine.url)


@pytest.fixture
def restored(tmp_path: Path, postgres_database: Postgres) -> Restored:
    return Restored(tmp_path, postgres_database)


#: What a restore might not bring, and what is reported of it.
CHANGES = {
    "drop rule keep on item": "rule public.item keep is gone",
    "comment on table item is null": "comment public.TABLE item is gone",
    "drop statistics both_columns": "statistics public.both_columns is gone",
    "alter table item replica identity full": "table public.item has changed",
    "revoke select on item from pg_monitor": "acl public.TABLE item is gone",
    "create or replace function twice(n integer) returns integer language sql immutable as 'select n * 2'": "twice",
    "alter publication p drop table item": "publication table public.p item is gone",
    "alter table item set unlogged": "table public.item has changed",
    "alter sequence number increment 10": "sequence public.number has changed",
    "create or replace view names as select name from item where size + 1 > 4 and name in ('a', 'b')": "view",
    "alter view names owner to pg_monitor": "view public.names has changed",
}


def test_what_a_restore_brings_is_the_same_and_each_change_of_it_is_not(restored: Restored) -> None:
    assert restored.after("select 1") == []

    printed = [(change, words, restored.after(change)) for change, words in CHANGES.items()]

    assert [change for change, words, found in printed if not any(words in each for each in found)] == []


def test_what_is_not_restored_is_not_compared(restored: Restored) -> None:
    restored.schema = replace(restored.schema, publishers=("somebody",), left_out=("RULE",))

    assert restored.after("drop publication p; drop rule keep on item") == []


def _silent(_words: str) -> None:
    return None


#: What a superuser has the server do with each table that is made.
ADDS = """
create function adds() returns event_trigger language plpgsql as $$
declare made record;
begin
  for made in select * from pg_event_trigger_ddl_commands() where object_type = 'table' loop
    execute format('alter table %s replica identity full', made.object_identity);
  end loop;
end $$;
create event trigger adds on ddl_command_end when tag in ('CREATE TABLE') execute function adds();
"""


def test_what_a_restore_in_place_made_in_another_way_is_seen(tmp_path: Path, postgres_database: Postgres) -> None:
    with psycopg2.connect(postgres_database.url) as connection, connection.cursor() as cursor:
        cursor.execute("create table item (id integer)")
    connection.close()
    postgres_database.execute(f'{ADDS}; alter function adds() owner to "{postgres_database.user}"')
    engine = build_engine(Database("app", postgres_database.url), Job("restore", str(tmp_path), run="r1"))
    assert isinstance(engine, PostgreSQL)
    (tmp_path / "dump").mkdir()
    dump = engine.dump(tmp_path / "dump", False, _silent)
    fingerprint = engine.open_own_connection().run(engine.read_fingerprint, frozenset())

    with pytest.raises(Failed) as failure:
        find_restorer(engine).restore(
            Archive(dump.path, fingerprint, None, frozenset(), dump.activity), "r1", _silent, lambda: None
        )
    engine.close()

    assert failure.value.code == HALF_WAY
    assert "table public.item" in failure.value.why
    assert "alembic_aside_" in failure.value.remedy
