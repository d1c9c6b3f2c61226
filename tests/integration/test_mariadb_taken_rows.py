"""What others write or define on MariaDB where a revision that fails takes rows, or defines the same: it is held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.targets import MariaDBTarget
from tests.lab.waiting import wait_until
from tests.unit.module_utils._engines.mariadb.test_upgrade import Upgraded, upgraded

__all__ = ["upgraded"]

_TABLES = """
create table q (id int primary key, n int);
create table words (id int primary key, w text);
create table full (id int primary key, n int);
insert into full values (1, null), (2, null);
create table parted (id int, n int) partition by range (id) (partition p1 values less than (50),
  partition p2 values less than (100));
create table parents (id int primary key);
create table children (id int primary key, parent int, constraint of_parent foreign key (parent)
  references parents (id) on delete cascade);
create table fires (id int primary key);
create table p (id int primary key, a int, b int);
create view v as select a from p;
create trigger first before insert on p for each row set new.a = 1;
create procedure one() select 1;
create event e on schedule every 1 day do set @a = 1;
create trigger fired after insert on fires for each row delete from q;
"""
_Q, _FULL = "create table q (id int primary key, n int)", "update full set n = 7 where id = 1"
_Q_NEW = "create table q_new (id int primary key, n int)"
_P2 = "partition p2 values less than (100)"
_MORE = "alter table item modify note text"
INTO_Q = "insert into q values (77, 7)"
THEIRS = "create table theirs (id int primary key); insert into theirs values (77)"

#: The revision's statements, and what others have written where there is an empty one.
CASES: dict[str, tuple[list[str], str]] = {
    "created or replaced": (["", _Q.replace("create", "create or replace")], INTO_Q),
    "created or replaced otherwise": (["", "create or replace table q (id int primary key)"], INTO_Q),
    "dropped and created": (["", "drop table q", _Q], INTO_Q),
    "dropped among several": (["", "drop table if exists nothing, q", _Q], INTO_Q),
    "dropped": (["", "drop table q"], INTO_Q),
    "truncated": (["", "truncate q"], INTO_Q),
    "truncated, and more": (["", "truncate table q", _MORE], INTO_Q),
    "exchanged by names": ([_Q_NEW, "", "rename table q to q_old, q_new to q", "drop table q_old"], INTO_Q),
    "exchanged by names, and there": ([_Q_NEW, "", "rename table q to q_old, q_new to q"], INTO_Q),
    "renamed, made and dropped": (["", "alter table q rename to q_old", _Q, "drop table q_old"], INTO_Q),
    "another in its place": ([_Q_NEW, "", "drop table q", "alter table q_new rename q"], INTO_Q),
    "with a column of text": (
        ["", "create or replace table words (id int primary key, w text)"],
        "insert into words values (77, 'x')",
    ),
    "not empty, filled again": (
        ["", "create or replace table full (id int primary key, n int)",
         "insert into full values (1, null), (2, null)"],
        _FULL,
    ),
    "not empty, copied before": (
        ["create table new as select * from full", "alter table new add primary key (id)", "", "drop table full",
         "rename table new to full"],
        _FULL,
    ),
    "a column dropped and added": (["", "alter table full drop n", "alter table full add n int"], _FULL),
    "a column dropped and added at once": (["", "alter table full drop column n, add column n int"], _FULL),
    "rows replaced": (["", "replace into full values (1, null)", _MORE], _FULL),
    "rows updated": (["", "update full set n = null", _MORE], _FULL),
    "rows updated where they are there": (
        ["", "insert into full values (1, null) on duplicate key update n = null", _MORE],
        _FULL,
    ),
    "rows deleted": (["", "delete from q", _MORE], INTO_Q),
    "rows deleted before what is undone": (["", "delete from q", "create table made (id int)"], INTO_Q),
    "rows deleted by a foreign key": (
        ["", "delete from parents", _MORE],
        "insert into parents values (1); insert into children values (77, 1)",
    ),
    "rows deleted by a trigger": (["", "insert into fires values (1)", "delete from fires", _MORE], INTO_Q),
    "a text that is executed": (["", "execute immediate concat('truncate ', 'q')"], INTO_Q),
    "what the run has made, dropped": (
        ["create table made (a int)", "", "drop table made"],
        "insert into made values (1)",
    ),
    "what the run has made, replaced": (
        ["create table made (a int)", "", "create or replace table made (a int)"],
        "insert into made values (1)",
    ),
    "what others have made, dropped": (["", "drop table if exists nothing, theirs"], THEIRS),
    # In a transaction, the server itself waits here for what it has read.
    "a partition exchanged": (
        ["set autocommit = 1", "create table made (id int, n int)", "",
         "alter table parted exchange partition p1 with table made", "drop table made"],
        "insert into parted values (7, 7)",
    ),
    "a partition dropped": (
        ["", "alter table parted drop partition p2", f"alter table parted add partition ({_P2})"],
        "insert into parted values (77, 7)",
    ),
    "a partition truncated": (["", "alter table parted truncate partition p2"], "insert into parted values (77, 7)"),
}  # fmt: skip
#: Where nothing works that others have not made.
OF_OTHERS = {
    "what others have made, truncated": (["", "truncate `theirs`", _MORE], THEIRS),
    "what others have made, dropped and made": (["", "drop table theirs", "create table theirs (a int)"], THEIRS),
}
#: What the revision defines anew, and others after it, or before it where the revision's is what there is in the end.
REDEFINED = {
    "a new view": (["create view made as select a from p", ""], "create or replace view made as select id from p"),
    "a new view is dropped": (["create view made as select a from p", ""], "drop view made"),
    "a new procedure": (["create procedure made() select 2", ""], "create or replace procedure made() select 3"),
    "a new event": (["create event made on schedule every 1 day do set @a = 1", ""], "alter event made do set @a = 3"),
    "a new trigger": (["create trigger made before update on p for each row set new.a = 2", ""],
                      "create or replace trigger made before update on p for each row set new.a = 3"),
    "a view": (["create or replace view v as select b as a from p", ""],
               "create or replace view v as select id from p"),
    "a view, before it": (["", "create or replace view v as select a from p"],
                          "create or replace view v as select id from p"),
    "a view that was altered": (["alter view v as select b as a from p", ""], "alter view v as select id from p"),
    "a view is dropped": (["create or replace view v as select b as a from p", ""], "drop view v"),
    "a procedure": (["create or replace procedure one() select 2", ""], "create or replace procedure one() select 3"),
    "a procedure that was dropped": (["drop procedure one", "create procedure one() select 2", ""],
                                     "create or replace procedure one() select 3"),
    "a procedure's comment": (["alter procedure one comment 'ours'", ""], "alter procedure one comment 'theirs'"),
    "a trigger": (["create or replace trigger first before insert on p for each row set new.a = 2", ""],
                  "create or replace trigger first before insert on p for each row set new.a = 3"),
    "an event": (["alter event e on schedule every 2 day", ""], "alter event e do set @a = 3"),
    "an event, before it": (["", "create or replace event e on schedule every 1 day do set @a = 1"],
                            "alter event e do set @a = 3"),
}  # fmt: skip

#: One of both every day, all others with the faults.
DAILY = ("exchanged by names", "a view")


def _marked(cases: dict[str, tuple[list[str], str]]) -> list[Any]:
    marks = {name: () if name in DAILY else pytest.mark.exhaustive for name in cases}
    return [pytest.param(*case, id=name, marks=marks[name]) for name, case in cases.items()]


def stock(mariadb: MariaDBTarget) -> None:
    """Fill the database, and let its user do all that a revert may need."""
    mariadb.allow_reverts()
    mariadb.database.execute(_TABLES)


@contextmanager
def meanwhile(folder: Path, act: Callable[[], object]) -> Iterator[str]:
    """Yield a line of a revision at which another session acts, and the revision waits for it."""
    reached, gate = folder / "reached", folder / "gate"
    failures: list[BaseException] = []

    def work() -> None:
        try:
            wait_until(reached.exists, "the revision has come to its middle")
            act()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)
        finally:
            gate.touch()

    others = threading.Thread(target=work)
    others.start()
    waits = f"u = [time.sleep(0.02) for _ in iter(lambda: os.path.exists({str(gate)!r}), True)]"
    yield f"import os, pathlib, time; pathlib.Path({str(reached)!r}).touch()\n    {waits}"
    others.join()
    assert not failures


def _fail(upgraded: Upgraded, statements: list[str], line: str) -> None:
    upgraded.revise(*(each or line for each in statements), "raise")
    failed = upgraded.upgrade()
    assert "on purpose" in failed["error"]["why"], failed


def _held(upgraded: Upgraded, mariadb: MariaDBTarget, folder: Path, ours: list[str], theirs: str) -> dict[str, Any]:
    """Have the run fail while others execute a statement, and return the revert, which leaves the database as it is."""
    stock(mariadb)
    with meanwhile(folder, lambda: mariadb.database.execute(theirs)) as line:
        _fail(upgraded, ours, line)
    now = mariadb.dump()
    reverted: dict[str, Any] = upgraded.revert()
    assert (reverted["outcome"], reverted["error"]["code"]) == ("held", "others-wrote"), reverted
    assert mariadb.dump() == now
    return reverted


@pytest.mark.parametrize(("ours", "theirs"), _marked({**CASES, **OF_OTHERS}))
def test_what_others_wrote_into_what_the_run_then_took_holds_the_database(
    upgraded: Upgraded, mariadb: MariaDBTarget, tmp_path: Path, ours: list[str], theirs: str
) -> None:
    reverted = _held(upgraded, mariadb, tmp_path, ours, theirs)

    assert set(reverted["ways_out"]) == {"back", "forward"}


@pytest.mark.exhaustive
@pytest.mark.parametrize("ours", [ours for ours, _theirs in CASES.values()], ids=CASES)
def test_where_only_the_run_writes_it_is_reverted(upgraded: Upgraded, mariadb: MariaDBTarget, ours: list[str]) -> None:
    stock(mariadb)
    before = mariadb.dump()
    _fail(upgraded, [each for each in ours if each], "")

    reverted = upgraded.revert()

    assert reverted["outcome"] in ("restored", "untouched"), reverted["error"]
    assert mariadb.dump() == before


@pytest.mark.exhaustive
def test_a_committed_revision_that_replaced_a_table_is_not_downgraded_over_it(
    upgraded: Upgraded, mariadb: MariaDBTarget, tmp_path: Path
) -> None:
    stock(mariadb)
    with meanwhile(tmp_path, lambda: mariadb.database.execute(INTO_Q)) as line:
        upgraded.revise(line, "drop table q", _Q)
        upgraded.revise("create table made (a int)", "raise", revision="0004", down="0003")
        assert upgraded.upgrade()["outcome"] == "failed"

    reverted = upgraded.revert()

    assert (reverted["outcome"], reverted["error"]["code"]) == ("held", "others-wrote"), reverted
    assert "table q" in reverted["error"]["why"]
    assert mariadb.revisions == ["0003"]


@pytest.mark.exhaustive
def test_rows_of_a_table_without_transactions_are_taken_at_once(
    upgraded: Upgraded, mariadb: MariaDBTarget, tmp_path: Path
) -> None:
    stock(mariadb)
    mariadb.rows("create table queue (id int primary key) engine = myisam")
    with meanwhile(tmp_path, lambda: mariadb.rows("insert into queue values (77)")) as line:
        _fail(upgraded, ["", "delete from queue"], line)

    reverted = upgraded.revert()

    assert (reverted["outcome"], reverted["error"]["code"]) == ("held", "others-wrote"), reverted
    assert "table queue" in reverted["error"]["why"]


@pytest.mark.exhaustive
def test_rows_that_are_rolled_back_are_taken_from_no_one(
    upgraded: Upgraded, mariadb: MariaDBTarget, tmp_path: Path
) -> None:
    stock(mariadb)
    ours = ["alter table full modify n bigint", "", "delete from q", "update parents set id = 1"]
    with meanwhile(tmp_path, lambda: mariadb.rows("insert into words values (77, 'x')")) as line:
        _fail(upgraded, ours, line)

    reverted = upgraded.revert()

    assert reverted["outcome"] == "restored", reverted["error"]
    assert mariadb.rows("select id from words") == [(77,)]


@pytest.mark.parametrize(("ours", "theirs"), _marked(REDEFINED))
def test_what_the_run_and_others_define_anew_is_held_and_named(
    upgraded: Upgraded, mariadb: MariaDBTarget, tmp_path: Path, ours: list[str], theirs: str
) -> None:
    reverted = _held(upgraded, mariadb, tmp_path, ours, theirs)

    assert any(name in reverted["error"]["why"] for name in (" v", " one", " first", " e", " made"))


@pytest.mark.exhaustive
def test_rows_of_others_do_not_make_a_definition_theirs(
    upgraded: Upgraded, mariadb: MariaDBTarget, tmp_path: Path
) -> None:
    stock(mariadb)
    before = mariadb.dump()
    ours = ["create or replace view v as select b as a from p", "drop procedure one", "alter event e do set @a = 2"]
    with meanwhile(tmp_path, lambda: mariadb.rows("insert into q values (1, 1)")) as line:
        _fail(upgraded, [*ours, ""], line)

    reverted = upgraded.revert()

    assert reverted["outcome"] == "restored", reverted["error"]

    assert mariadb.rows("select * from q") == [(1, 1)]
    mariadb.rows("delete from q")
    assert mariadb.dump() == before
