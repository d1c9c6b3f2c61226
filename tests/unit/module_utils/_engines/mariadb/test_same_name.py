"""Two databases whose names differ in capitals only: each is read, backed up and restored without the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import restore_method, same_name
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.not_transactional import (
    read_nontransactional,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.written_tables import read_catalog
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_write_tracker
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import MariaDBServer
from tests.unit.module_utils._engines.mariadb.test_engine import fingerprint
from tests.unit.module_utils._engines.mariadb.test_restore import archive_of, engine_of, restore, schemas_beside
from tests.unit.module_utils._engines.mariadb.test_undo import removed
from tests.unit.stage import in_process

#: The names are those of the other database's, but for foreign keys: of these InnoDB lets none differ in capitals only.
OBJECTS = """
create table parents (id int primary key, kind varchar(9) default '{kind}');
create table Parents (id int primary key);
create table children (id int primary key, parent int,
  constraint up_{kind} foreign key (parent) references parents (id));
create table only_{kind} (id int primary key) engine = {engine};
create view names as select kind from parents;
create trigger first before insert on parents for each row set new.kind = '{kind}';
create trigger of_{kind} before insert on children for each row set @kind = '{kind}';
create procedure one(in {kind} int) select '{kind}';
create function two() returns varchar(9) deterministic return '{kind}';
create event tidy on schedule every 1 day starts '2030-01-01 00:00:00' do select '{kind}';
create event of_{kind} on schedule every 1 day starts '2030-01-01 00:00:00' do select '{kind}';
insert into parents (id) values (1), (2); insert into children values (1, 1); insert into only_{kind} values (1);
"""
CHANGE = """
alter table parents add column more int; drop trigger first; drop trigger of_{kind}; drop procedure one;
drop event tidy; drop view names; create table made (id int primary key);
alter table children drop foreign key up_{kind};
"""


@pytest.fixture
def both(mariadb_database: MariaDatabase) -> Iterator[tuple[MariaDatabase, MariaDatabase]]:
    """Return the one whose name is in small letters, and the other one."""
    server, small = mariadb_database.server, mariadb_database
    capitals = replace(small, name=small.name.upper())
    server.create_database(capitals.name)
    small.execute(OBJECTS.format(kind="small", engine="InnoDB"))
    capitals.execute(OBJECTS.format(kind="capital", engine="Aria"))
    yield small, capitals
    for name in (*schemas_beside(small), *schemas_beside(capitals), capitals.name):
        server.execute(f"set foreign_key_checks = 0; drop database `{name}`")


def test_each_has_its_own_fingerprint_and_names(both: tuple[MariaDatabase, MariaDatabase]) -> None:
    small, capitals = both
    for database, own, other in ((small, "small", "capital"), (capitals, "capital", "small")):
        lines = fingerprint(database, engine_of)
        assert [line for line in lines if other in line] == []
        kinds = [line.partition(" ")[0] for line in lines if own in line]
        assert {"table", "trigger", "procedure", "function", "event"} <= set(kinds)
        assert (kinds.count("trigger"), kinds.count("event")) == (2, 2)

        def names(of: MariaDatabase = database) -> tuple[set[str], set[str], set[str]]:
            engine = engine_of(of)
            catalog = read_catalog(engine.open_own_connection(), of.name)
            return set(catalog.tables), set(catalog.routines), set(catalog.other_schemas)

        tables, routines, others = in_process(names)
        assert tables == {"parents", "Parents", "children", f"only_{own}"}
        assert routines == {"one", "two", "tidy", f"of_{own}"}
        assert (capitals if database is small else small).name in others
        assert database.name not in others


def test_the_rows_the_definers_and_what_is_not_transactional_are_its_own(
    both: tuple[MariaDatabase, MariaDatabase],
) -> None:
    small, capitals = both

    def work() -> list[Any]:
        owns = [engine_of(database).open_own_connection() for database in both]
        return [(own.run(engine_of(small).count_table_rows), own.run(read_nontransactional)) for own in owns]

    for database, kind, (counts, engines) in zip(both, ("small", "capital"), in_process(work)):
        tables = ("parents", "Parents", "children", f"only_{kind}")
        assert set(counts) == {f"{database.name}.{table}" for table in tables}
        assert engines == ({} if kind == "small" else {"only_capital": "Aria"})
    capitals.execute("create definer = 'gone'@'nowhere' event stranger on schedule every 1 day do select 1")

    def strangers() -> list[bool]:
        engine = engine_of(small)
        return [
            "gone@nowhere" in restore_method.read_strangers(engine.open_own_connection(), each.name) for each in both
        ]

    assert in_process(strangers) == [False, True]


def compared(database: MariaDatabase, archive: Archive) -> tuple[list[str], list[str], list[str]]:
    def work() -> tuple[list[str], list[str], list[str]]:
        tracker = find_write_tracker(engine_of(database))
        found = tracker.compare(archive, WrittenRows(before=archive.fingerprint), 1 << 30, lambda _: None)
        return found.schema, found.rows, found.not_compared

    return in_process(work)


@pytest.mark.parametrize("place", [0, 1], ids=["small", "capitals"])
def test_one_is_backed_up_compared_and_restored_without_the_other(
    both: tuple[MariaDatabase, MariaDatabase], tmp_path: Path, place: int
) -> None:
    database, other = both[place], both[1 - place]
    before, untouched = database.dump(), other.dump()
    archive = archive_of(database, tmp_path)
    other.execute("create trigger later before update on parents for each row set @a = 1")
    assert compared(database, archive) == ([], [], [])
    database.execute(CHANGE.format(kind=("small", "capital")[place]))
    differs, _rows, not_compared = compared(database, archive)
    assert {"table made was not there before", "procedure one is missing", "event tidy is missing"} <= set(differs)
    assert not_compared == []
    restored = restore(database, archive)
    assert database.dump() == before
    other.execute("drop trigger later")
    assert other.dump() == untouched
    assert restored.retained in schemas_beside(database)
    assert schemas_beside(other) == []


def test_a_key_that_leads_here_from_the_other_one_stops_a_restore(
    both: tuple[MariaDatabase, MariaDatabase], tmp_path: Path
) -> None:
    small, capitals = both
    archive = archive_of(small, tmp_path)
    bound = f"foreign key (id) references {small.name}.Parents (id)"
    capitals.execute(f"create table bound (id int primary key, constraint away {bound})")
    small.execute("alter table Parents add column more int")
    before = small.dump(), capitals.dump()
    with refused("restore-loses"):
        restore(small, archive)
    assert (small.dump(), capitals.dump()) == before
    archive_of_capitals = archive_of(capitals, tmp_path)
    capitals.execute("alter table parents add column more int")
    restore(capitals, archive_of_capitals)
    assert capitals.dump() == before[1]


def test_a_table_of_the_other_one_that_has_got_a_key_to_a_new_table_keeps_it(
    both: tuple[MariaDatabase, MariaDatabase],
) -> None:
    small, capitals = both
    capitals.execute("create table made (id int primary key)")
    bind = f"alter table {capitals.name}.made add foreign key (id) references {small.name}.made (id)"
    seeing = replace(small, user=small.server.user, password=small.server.password)
    undone, _before = removed(seeing, f"create table made (id int primary key); {bind}")
    assert undone == []
    assert "made" in [name for (name,) in small.execute("show tables")]


def test_a_view_of_what_is_gone_is_seen_beside_a_table_in_other_letters(mariadb_database: MariaDatabase) -> None:
    mariadb_database.execute(
        "create table gone (id int); create view Lost as select * from gone; create table lost (id int);drop table gone"
    )

    def work() -> list[Refused]:
        engine = engine_of(mariadb_database)
        obstacles: list[Refused] = engine.list_obstacles(engine.open_own_connection(), Path("/"))
        return obstacles

    assert [(each.code, "Lost" in each.why) for each in in_process(work)] == [("view-invalid", True)]


def test_a_server_without_capitals_finds_what_the_url_writes_in_capitals(tmp_path: Path) -> None:
    with MariaDBServer(durable=False, settings={"lower-case-table-names": "1"}) as server:
        for name in ("café", "cafe"):
            server.execute(
                f"create database `{name}`; create table `{name}`.T (id int); create table `{name}`.`{name}` (a int)"
            )
            server.execute(f"create trigger one before insert on t for each row set @a = '{name}'", name)
        database = MariaDatabase(server, "Café", server.user, server.password)
        lines = fingerprint(database, engine_of)
        assert [line for line in lines if re.search(r"\bcafe\b", line)] == []
        assert len([line for line in lines if line.startswith("trigger one")]) == 1
        database = replace(database, name="café")
        before, archive = database.dump(), archive_of(database, tmp_path)
        database.execute("alter table t add column more int; drop trigger one")
        restore(database, archive)
        assert database.dump() == before


def test_no_query_compares_the_name_of_a_schema_in_another_way() -> None:
    compares = re.compile(r"(?:_schema|schema_name|\bdb)\s*(?:=|<>|in|like)\s*(?::|database\b)", re.IGNORECASE)
    files = sorted(Path(same_name.__file__).parent.glob("*.py"))
    assert [(file.name, found[0]) for file in files for found in compares.finditer(file.read_text())] == []
    assert compares.search("where table_schema = database()")
    assert compares.search("and p.db = :schema")
