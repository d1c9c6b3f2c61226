"""What others define while a revision of MariaDB runs that fails: it stays, or the database is held."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.integration.targets import MariaDBTarget
from tests.lab.waiting import wait_until
from tests.unit.module_utils._engines.mariadb.test_upgrade import Upgraded, mariadb, upgraded

__all__ = ["mariadb", "upgraded"]

_TABLES = """
create table p (id int primary key, a int, b int, name varchar(50), note text comment 'a, b', kind enum('a','b'),
  key k (a, b), key pre (name(5)), check (a < b));
insert into p (id, name) values (1, 'x');
create view v as select a from p;
create trigger first before insert on p for each row set new.a = 1;
create procedure one() select 1;
create event e on schedule every 1 day do set @a = 1;
create table q (id int primary key);
create table parted (id int) partition by range (id) (partition p1 values less than (10),
  partition p2 values less than (20));
alter table p add column id2 int, add key by_id2 (id2);
"""
_MADE = ["create table made (id int)"]
_MODIFIED = ["create table made (id int)", "alter table p modify a bigint"]

#: The revision's statements before others', and theirs.
CASES = {
    "a key's columns in another order": (_MADE, "alter table p drop key k, add key k (b, a)"),
    "a default": (_MADE, "alter table p alter column name set default 'a,b'"),
    "the comment of a table": (_MADE, "alter table p comment 'theirs'"),
    "the comment of a table that is altered": (_MODIFIED, "alter table p comment 'theirs'"),
    "the character set of a table that is altered": (_MODIFIED, "alter table p default charset latin1"),
    "a primary key": (_MADE, "alter table p drop primary key, add primary key (id, name)"),
    "partitions": (_MADE, "alter table p partition by hash (id) partitions 2"),
    "the defaults of the database": (_MADE, "alter database default character set latin1"),
    "versioning": (_MADE, "alter table p add system versioning"),
    "a table is dropped": (_MADE, "drop table q"),
    "an event is dropped": (_MADE, "drop event e"),
    "a key is dropped": (_MADE, "alter table p drop key k"),
    "a key of a table that is altered is dropped": (_MODIFIED, "alter table p drop key k"),
    "a column is dropped": (_MADE, "alter table p drop column kind"),
    "a primary key is dropped": (_MADE, "alter table p drop primary key"),
    "a view is dropped": (_MADE, "drop view v"),
    "a trigger is dropped": (_MADE, "drop trigger first"),
    "a procedure is dropped": (_MADE, "drop procedure one"),
    "a view is made anew": (_MADE, "create or replace view v as select b as a from p"),
}


#: What only the run does: it is restored.
OWN = {
    "a column with its key": "alter table p drop column note; alter table p drop column id2",
    "keys": "alter table p drop key k; drop index pre on p",
    "a primary key": "alter table p drop primary key, add primary key (id, name)",
    "options": "alter table p comment 'ours', row_format = compressed",
    "partitions": "alter table parted drop partition p2;"
    " alter table parted add partition (partition p3 values less than (30))",
    "objects": "drop view v; drop trigger first; drop procedure one; drop event e; drop table q",
    "what it alters": "alter view v as select b as a from p; alter procedure one comment 'ours';"
    " alter event e rename to f",
    "a table with its trigger": "drop view v; drop table p",
    "a table's name": "alter table q rename to z; rename table parted to y",
    "the defaults of the database": "alter database default character set latin1",
}


def _stock(mariadb: MariaDBTarget) -> None:
    mariadb.allow_reverts()
    mariadb.database.execute(_TABLES)


@pytest.mark.parametrize("statements", OWN.values(), ids=OWN)
def test_what_the_run_itself_takes_away_is_restored(
    upgraded: Upgraded, mariadb: MariaDBTarget, statements: str
) -> None:
    _stock(mariadb)
    upgraded.revise(*statements.split("; "), "raise")
    before = mariadb.dump()
    assert upgraded.upgrade()["outcome"] == "failed"
    assert mariadb.dump() != before

    assert upgraded.revert()["outcome"] == "restored"

    assert mariadb.dump() == before


@pytest.mark.parametrize(("ours", "theirs"), CASES.values(), ids=CASES)
def test_what_others_define_meanwhile_is_held_or_stays(
    upgraded: Upgraded, mariadb: MariaDBTarget, tmp_path: Path, ours: list[str], theirs: str
) -> None:
    _stock(mariadb)
    reached, gate = tmp_path / "reached", tmp_path / "gate"
    upgraded.revise(
        "import os, pathlib, time",
        *ours,
        f"op.execute('select %d' % pathlib.Path({str(reached)!r}).write_text('x'))",
        f"u = [time.sleep(0.05) for _ in iter(lambda: os.path.exists({str(gate)!r}), True)]",
        "raise",
    )
    before, expected = mariadb.dump(), []

    def define() -> None:
        try:
            wait_until(reached.exists, "the revision has come to its middle")
            mariadb.database.execute(theirs)
            expected.append(mariadb.dump())
        finally:
            gate.touch()

    others = threading.Thread(target=define)
    others.start()
    assert upgraded.upgrade()["outcome"] == "failed"
    others.join()
    assert expected
    reverted = upgraded.revert()

    # Where it is not held, their change is what differs from before.
    assert reverted["outcome"] == "held" or mariadb.dump() != before, reverted
