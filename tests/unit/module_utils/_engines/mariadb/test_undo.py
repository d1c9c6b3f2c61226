"""What a failed revision of MariaDB has left: undone by a customer's own rights, or not touched at all."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from ansible_collections.hosting.alembic.plugins.module_utils._migration.state import list_differences
from ansible_collections.hosting.alembic.plugins.module_utils._migration.statements import render_for_journal
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.unit.stage import in_process

_TABLES = """
create table parents (id int primary key, name varchar(50));
create table children (id int primary key auto_increment, parent int, note text);
insert into parents values (1, 'one'); insert into children (parent) values (1);
create view names as select name from parents;
"""

UNDONE = {
    "a table": "create table made (id int primary key)",
    "tables that refer to each other": "create table made (id int primary key, other int);"
    "create table more (id int primary key, of int, constraint a foreign key (of) references made (id));"
    "alter table made add constraint b foreign key (other) references more (id)",
    "a table that refers to another": "create table made (id int, foreign key (id) references parents (id))",
    "an index": "create index by_name on parents (name)",
    "a unique and a fulltext key": "alter table parents add unique key one (name), add fulltext key two (name)",
    "a foreign key": "alter table children add constraint a foreign key (parent) references parents (id)",
    "a column": "alter table parents add column more int",
    "columns that are filled by their defaults": "alter table parents add column more int not null default 7,"
    "add column text varchar(5) not null, add column again int as (id + 1) stored first",
    "a column with a key": "alter table parents add column more int, add unique key by_more (more)",
    "a check": "alter table parents add constraint positive check (id > 0)",
    "a view": "create view others as select * from names",
    "a trigger": "create trigger first before insert on parents for each row set new.name = 'x'",
    "a trigger on a table that is new": "create table made (id int primary key);"
    "create trigger first before insert on made for each row set @a = 1",
    "a routine and an event": "create procedure one() select 1; create function two() returns int return 2;"
    "create event tidy on schedule every 1 day do delete from parents",
    "many at once": "create table made (id int primary key); alter table parents add column more int;"
    "create index by_name on parents (name); create view others as select * from made",
}

KEPT = {
    "a table with a row": "create table made (id int primary key); insert into made values (1)",
    "a column with a value": "alter table parents add column more int; update parents set more = 5",
    "a column with another value than its default": "alter table parents add column more int not null default 7;"
    "update parents set more = 5",
    "a column that has another type": "alter table parents modify name varchar(80)",
    "a view that has changed": "create or replace view names as select id from parents",
    "a table that is gone": "drop table children",
    "a primary key": "alter table children modify id int, drop primary key, add primary key (id, parent)",
    "a table to which another has got a key by others": "create table made (id int primary key);"
    "create table of_others (id int, constraint o foreign key (id) references made (id))",
}


@pytest.fixture
def stocked(mariadb_database: MariaDatabase) -> MariaDatabase:
    mariadb_database.execute(_TABLES)
    return mariadb_database


def removed(database: MariaDatabase, change: str, without: str = "", of_others: str = "") -> tuple[list[str], str]:
    """Make a change, undo it, and return what the engine says it has removed, and a dump of before it did.

    Args:
        database: the database.
        change: statements.
        of_others: what other sessions do meanwhile.
        without: lines with it are others', and not among those of the revision.
    """

    def work() -> Any:
        engine = build_engine(
            Database("app", database.url), Job.from_options("upgrade", {"root": str(database.server.folder / "root")})
        )
        before = engine.open_own_connection().run(engine.read_fingerprint, frozenset())
        database.execute(change)
        database.execute(of_others)
        executed = [render_for_journal(each) for each in change.split(";")]
        now = engine.open_own_connection().run(engine.read_fingerprint, frozenset())
        left = [line for line in list_differences(before, now) if not without or without not in line]
        dump = database.dump()
        return find_restorer(engine).remove_unfinished(before, left, executed), dump

    lines, dump = in_process(work)
    return lines, dump


@pytest.mark.parametrize("change", UNDONE.values(), ids=UNDONE)
def test_what_is_new_and_holds_nothing_is_undone_to_the_letter(stocked: MariaDatabase, change: str) -> None:
    database = stocked
    database.server.execute(f"grant select on mysql.proc to '{database.user}'@'%'")
    before = database.dump()
    assert removed(database, change)[0]
    assert database.dump() == before


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT)
def test_where_anything_would_be_lost_nothing_is_touched(stocked: MariaDatabase, change: str) -> None:
    lines, changed = removed(stocked, change, without="of_others")
    assert (lines, stocked.dump()) == ([], changed)
    stocked.execute("drop table if exists of_others; drop table if exists made")


def test_where_one_thing_would_be_lost_the_others_stay_too(stocked: MariaDatabase) -> None:
    change = "create table empty (id int); create table made (id int primary key); insert into made values (1)"
    lines, changed = removed(stocked, change)
    assert (lines, stocked.dump()) == ([], changed)


#: What others define while a revision makes the table ``made`` and the column ``more``.
OF_OTHERS = {
    "a procedure": "create procedure month_end() select 1",
    "a view": "create view sales as select id from parents",
    "an index": "create index of_dba on children (note(5))",
    "an event": "create event nightly on schedule every 1 day do delete from children",
    "an empty table": "create table made_by_dba (id int)",
    "a trigger": "create trigger stamps before insert on children for each row set new.note = 'x'",
    "a column": "alter table children add column of_dba int",
}
_REVISION = "create table made (id int primary key); alter table parents add column more int"


@pytest.mark.parametrize("of_others", OF_OTHERS.values(), ids=OF_OTHERS)
def test_what_others_have_defined_meanwhile_stays(stocked: MariaDatabase, of_others: str) -> None:
    stocked.server.execute(f"grant select on mysql.proc to '{stocked.user}'@'%'")
    assert removed(stocked, _REVISION, of_others=of_others)[0]
    now = stocked.dump()
    assert "`made`" not in now
    assert "`more`" not in now
    assert any(name in now for name in ("month_end", "sales", "of_dba", "nightly", "made_by_dba", "stamps"))


@pytest.mark.parametrize(
    "of_others",
    ["create index of_dba on parents (more)", "create trigger stamps before insert on made for each row set @a = 1"],
)
def test_nothing_is_undone_where_it_would_take_what_others_have_defined(stocked: MariaDatabase, of_others: str) -> None:
    lines, changed = removed(stocked, _REVISION, of_others=of_others)
    assert (lines, stocked.dump()) == ([], changed)


#: Names that hold what a fingerprint has behind a name, each with an object that was there before.
MISREAD = {
    "a view": ("create view sales as select 1", "create view `sales by region` as select 2"),
    "a view with a dot": ("create view sales as select 1", "create view `sales by a.b` as select 2"),
    "an event": (
        "create event x on schedule every 1 day do select 1",
        "create event `x by y` on schedule every 1 day do select 2",
    ),
    "a trigger": (
        "create trigger a before insert on parents for each row set @a = 1",
        "create trigger `a on b` before insert on parents for each row set @a = 2",
    ),
    "a procedure": ("create procedure f() select 1", "create procedure `f(x`() select 2"),
    "a table": ("create table f (a int)", "create table `f: x` (a int)"),
    "a column": ("alter table parents add column a int", "alter table parents add column `a``b c` int"),
}


@pytest.mark.parametrize(("there", "change"), MISREAD.values(), ids=MISREAD)
def test_no_name_is_taken_for_a_shorter_one(stocked: MariaDatabase, there: str, change: str) -> None:
    stocked.server.execute(f"grant select on mysql.proc to '{stocked.user}'@'%'")
    stocked.execute(there)
    before = stocked.dump()
    assert removed(stocked, change)[0]
    assert stocked.dump() == before


def test_a_name_with_two_blanks_is_not_one_with_one(stocked: MariaDatabase) -> None:
    """A journaled statement has one blank for all, so it does not name it; nothing is dropped then."""
    stocked.execute("create view `a b` as select 1")
    lines, changed = removed(stocked, "create view `a  b` as select 2")
    assert (lines, stocked.dump()) == ([], changed)


@pytest.mark.parametrize(
    "change",
    ["alter table parents add column more int", "create trigger t before insert on parents for each row set @a = 1"],
)
def test_no_application_waits_behind_it_for_longer_than_a_lock_timeout(stocked: MariaDatabase, change: str) -> None:
    """A session has read the table, and ends its transaction after some seconds; meanwhile an application reads."""
    target, before = MariaDBTarget(stocked), stocked.dump()
    options = {"root": "/nowhere", "lock_timeout": 1, "lock_wait": 30}

    def work() -> tuple[list[str], float]:
        engine = build_engine(Database("app", stocked.url), Job.from_options("upgrade", options))
        old = engine.open_own_connection().run(engine.read_fingerprint, frozenset())
        stocked.execute(change)
        left = list_differences(old, engine.open_own_connection().run(engine.read_fingerprint, frozenset()))
        waited, is_over = [0.0], threading.Event()

        def use() -> None:
            while not is_over.is_set():
                began = time.monotonic()
                target.rows("select count(*) from parents")
                waited.append(time.monotonic() - began)

        with closing(target.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("select * from parents")
            threads = [threading.Timer(5, connection.rollback), threading.Thread(target=use)]
            for thread in threads:
                thread.start()
            lines = find_restorer(engine).remove_unfinished(old, left, [change])
            is_over.set()
            for thread in threads:
                thread.join()
        return lines, max(waited)

    lines, slowest = in_process(work)
    assert lines
    assert stocked.dump() == before
    assert 0.5 < slowest < 2
