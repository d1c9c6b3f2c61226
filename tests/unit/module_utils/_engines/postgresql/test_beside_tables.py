"""What lies beside tables is compared with a backup, and seen as others' before a restore takes it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database as Entry
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_write_tracker
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.engine import PostgreSQL
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import Database, skip_before
from tests.unit.stage import Host

BASE = """
create table item (id integer);
create foreign data wrapper w;
grant usage on foreign data wrapper w to ":db";
create server s foreign data wrapper w;
alter server s owner to ":db";
create user mapping for public server s options (user 'one');
create publication theirs for table item;
comment on database ":db" is 'one';
set allow_system_table_mods = on;
insert into pg_seclabel values ('item'::regclass, 'pg_class'::regclass, 0, 'some', 'one');
"""
SCHEMA_PUBLISHED = "all of a schema in another's publication"
CHANGES = {
    "a user mapping": "alter user mapping for public server s options (set user 'two')",
    "a user mapping more": "create user mapping for pg_monitor server s options (user 'two')",
    "a user mapping less": "drop user mapping for public server s",
    "the comment of the database": "comment on database \":db\" is 'two'",
    "no comment of the database": 'comment on database ":db" is null',
    "another's publication": "alter publication theirs set (publish = 'insert')",
    "a table of another's publication": "alter publication theirs drop table item",
    SCHEMA_PUBLISHED: "alter publication theirs add tables in schema public",
    "a security label": "set allow_system_table_mods = on; update pg_seclabel set label = 'two'",
    "no security label": "set allow_system_table_mods = on; delete from pg_seclabel",
    "a security label of the database": "set allow_system_table_mods = on; insert into pg_shseclabel"
    " select oid, 'pg_database'::regclass, 'some', 'one' from pg_database where datname = ':db'",
}


class Stage:
    """A database with its backup, made by its owner."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        self.execute(BASE)
        entry = Entry.from_options({"name": "app", "url": database.url})
        options = {"run": "r1", "lock_wait": 1, "backup_lock_wait": 1}
        engine = build_engine(entry, Host(folder / "root").job("downgrade", entry, **options))
        assert isinstance(engine, PostgreSQL)
        self.engine = engine
        database.execute(f'grant select on item to "{database.user}"')
        (folder / "dump").mkdir()
        dump = engine.dump(folder / "dump", False, _silent)
        self.archive = Archive(dump.path, [], None, frozenset(), dump.activity)

    def execute(self, sql: str) -> None:
        self.database.execute(sql.replace(":db", self.database.name))


@pytest.fixture
def stage(tmp_path: Path, postgres_database: Database) -> Iterator[Stage]:
    made = Stage(tmp_path, postgres_database)
    yield made
    made.engine.close()


@pytest.mark.parametrize("kind", ["nothing", *CHANGES])
def test_it_is_compared_and_seen_as_others(stage: Stage, kind: str) -> None:
    if kind == SCHEMA_PUBLISHED:
        skip_before(stage.database.server, 15, "publications of schemas")
    stage.execute(CHANGES.get(kind, "select 1"))
    written_rows = WrittenRows([], activity=stage.archive.activity)

    differences = find_write_tracker(stage.engine).compare(stage.archive, written_rows, 1 << 30, _silent).differences
    changes = find_write_tracker(stage.engine).list_changes_by_others(stage.archive, written_rows)

    assert (bool(differences), bool(changes)) == (kind != "nothing", kind != "nothing"), (differences, changes)


def _silent(_words: str) -> None:
    return None
