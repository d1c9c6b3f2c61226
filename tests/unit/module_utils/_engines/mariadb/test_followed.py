"""Definitions that a run's statements have changed are none of others', whether they name them or not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.undo import read_left
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import engine_for
from ansible_collections.hosting.alembic.plugins.module_utils._migration.state import differences
from ansible_collections.hosting.alembic.plugins.module_utils._migration.statements import journaled
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.lab.waiting import wait_until
from tests.unit.module_utils._engines.mariadb.test_upgrade import Upgraded, mariadb, upgraded
from tests.unit.stage import in_process

__all__ = ["mariadb", "upgraded"]

_TABLES = """
create table piece (id int primary key auto_increment, name varchar(50), note text, num int, sort enum('a', 'b'),
  key by_name (name, num), key by_num (num), unique key by_all (num, id, name), constraint positive check (num > 0));
create table child (id int primary key, piece int, note int, key by_note (piece, note),
  constraint of_piece foreign key (piece) references piece (id));
create table keyed (id int primary key, piece int, foreign key (piece) references piece (id) on delete cascade);
create table other (id int primary key, text varchar(20));
create table parts (id int primary key) partition by range (id) (partition low values less than (10));
create table plain (id int, name varchar(20));
create table latin (id int primary key, name varchar(20), text text, mark varchar(5) check (mark <> 'ä'))
  character set latin1;
create view names as select name from piece;
create view more as select * from names;
create trigger first before insert on piece for each row set new.note = 'x';
create trigger second before insert on piece for each row set new.num = 5;
create trigger third before insert on piece for each row set new.sort = 'a';
create procedure one() select 1;
create function two() returns int return 2;
create event tidy on schedule every 1 day starts '2030-01-01 00:00:00' do delete from piece where id < 0;
create sequence numbers;
insert into piece (name, num) values ('one', 1), ('two', 2);
insert into child (id, piece) values (1, 1); insert into keyed values (1, 2); insert into other values (1, 'text');
insert into plain values (1, 'a'), (2, 'b'); insert into latin values (1, 'größe', 'ä', 'ö');
"""

#: Each of them alone was taken for others' once.
STATEMENTS = {
    "tables made anew": [
        "create or replace table other (id bigint primary key, more int, key by_more (more))",
        "create or replace table plain like parts",
        "drop table if exists latin",
        "create table latin (id bigint primary key, text text)",
    ],
    "names of columns and tables": [
        "alter table piece drop constraint positive, rename column num to amount",
        "alter table piece rename column id to number",
        "rename table keyed to locked",
        "alter table piece rename to pieces",
    ],
    "tables that change places": [
        "rename table other to temporary, plain to other, temporary to plain",
        "alter table latin convert to character set utf8mb4",
    ],
    "parts of keys, and defaults": [
        "alter table latin default character set = utf8mb4",
        "alter table child drop column note",
        "alter table other add system versioning",
    ],
    "other objects": [
        "alter view names as select id as name from piece",
        "alter event tidy on schedule every 2 day",
        "alter procedure one comment 'x'",
        "alter function two comment 'x'",
        "alter sequence numbers increment 5",
        "create trigger zero before insert on piece for each row precedes first set @a = 1",
    ],
}


def of_others(database: MariaDatabase, statements: list[str], others: str = "") -> list[str]:
    """What is taken for others' after the statements of a run, and others'."""

    def work() -> Any:
        engine = engine_for(
            Database("app", database.url), Job.from_options("upgrade", {"root": str(database.server.folder / "root")})
        )
        before = engine.own().run(engine.fingerprint, frozenset())
        database.execute(";".join(statements))
        database.execute(others)
        left = differences(before, engine.own().run(engine.fingerprint, frozenset()))
        return read_left(engine.own(), left, [journaled(each) for each in statements]).of_others

    database.execute(_TABLES)
    database.server.execute(f"grant select on mysql.proc to '{database.user}'@'%'")
    found: list[str] = in_process(work)
    return found


@pytest.mark.parametrize("statements", STATEMENTS.values(), ids=STATEMENTS)
def test_what_a_run_has_changed_is_its_own(mariadb_database: MariaDatabase, statements: list[str]) -> None:
    assert of_others(mariadb_database, statements) == []


#: Statements of a run, those of others, and what is theirs.
OF_OTHERS = {
    "a column of a replaced table": ("create or replace table other (id bigint)", "alter table other add y int", "`y`"),
    "a key of a converted table": (
        "alter table latin convert to character set utf8mb4",
        "create index of_dba on latin (name)",
        "`of_dba`",
    ),
    "a type in a converted table": (
        "alter table latin convert to character set utf8mb4",
        "alter table latin modify name varchar(80) character set utf8mb4",
        "`name`",
    ),
    "a key of other columns": (
        "alter table piece rename column note to remark",
        "alter table piece drop key by_num, add key by_num (name)",
        "`by_num`",
    ),
    "a key that has become unique": (
        "alter table piece rename column num to amount",
        "alter table piece drop key by_name, add unique key by_name (name, amount)",
        "`by_name`",
    ),
    "another body of a trigger": (
        "create trigger zero before insert on piece for each row precedes first set @a = 1",
        "create or replace trigger second before insert on piece for each row set new.num = 6",
        "trigger second",
    ),
    "another view": (
        "create or replace view names as select id from piece",
        "alter view more as select 1",
        "view more",
    ),
    "a column of a table that is renamed to": (
        "rename table other to x, plain to other, x to plain",
        "alter table other add of_dba int",
        "`of_dba`",
    ),
}


@pytest.mark.parametrize(("ours", "theirs", "name"), OF_OTHERS.values(), ids=OF_OTHERS)
def test_what_others_have_changed_beside_it_is_theirs(
    mariadb_database: MariaDatabase, ours: str, theirs: str, name: str
) -> None:
    (found,) = of_others(mariadb_database, [ours], theirs)
    assert name in found


@pytest.mark.parametrize("theirs", ["", "insert into other values (2, 'theirs')"], ids=["nobody else", "others"])
def test_a_table_that_is_replaced_comes_back_unless_others_had_written_into_it(
    upgraded: Upgraded, mariadb: MariaDBTarget, tmp_path: Path, theirs: str
) -> None:
    server, user = mariadb.database.server, mariadb.database.user
    server.execute(f"grant all on `hosting\\_alembic\\_%`.* to '{user}'@'%'; grant process on *.* to '{user}'@'%'")
    mariadb.rows("create table other (id int primary key, text varchar(20))")
    mariadb.rows("insert into other values (1, 'ours')")
    reached, gate = tmp_path / "reached", tmp_path / "gate"
    upgraded.revise(
        "import os, pathlib, time",
        f"op.execute('select %d' % pathlib.Path({str(reached)!r}).write_text('x'))",
        f"u = [time.sleep(0.05) for _ in iter(lambda: os.path.exists({str(gate)!r}), True)]",
        "create or replace table other (id bigint primary key, more int)",
        "raise",
    )
    before = mariadb.dump()

    def write() -> None:
        wait_until(reached.exists, "the revision has come to its middle")
        if theirs:
            mariadb.rows(theirs)
        gate.touch()

    others = threading.Thread(target=write)
    others.start()
    assert upgraded.upgrade()["outcome"] == "failed"
    others.join()
    reverted = upgraded.revert()
    if theirs:
        assert (reverted["outcome"], reverted["error"]["code"]) == ("held", "others-wrote")
    else:
        assert (reverted["outcome"], mariadb.dump()) == ("restored", before)
