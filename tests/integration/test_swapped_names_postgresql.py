"""What a step exchanged under unchanged names, and values of a database whose rows are not counted, is as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_revert_postgresql import Stage, dump, executed
from tests.lab.fixtures import Database
from tests.unit.stage import Host

#: Two of each kind: they differ in nothing but their names and what is in them.
TWINS = """
create table white (id integer primary key, word varchar(20), deed varchar(20));
create table black (id integer primary key, word varchar(20), deed varchar(20));
insert into white values (1, 'first', 'one'), (2, 'second', 'two');
insert into black values (1, 'third', 'three'), (2, 'fourth', 'four');
create table bare_white (id integer); create table bare_black (id integer);
insert into bare_white values (1), (2); insert into bare_black values (3), (4);
create table empty_white (id integer); create table empty_black (id integer); insert into empty_black values (1);
create schema north; create schema south;
create table north.page (id integer, text text); create table south.page (id integer, text text);
insert into north.page values (1, 'of the north'); insert into south.page values (1, 'of the south');
create sequence odd; create sequence even; select setval('odd', 41); select setval('even', 42);
create view days as select 'day' as word; create view nights as select 'night' as word;
create function yes() returns text language sql as $$select 'yes'$$;
create function no() returns text language sql as $$select 'no'$$;
create index on white (word); create type shape as enum ('round', 'square');
create table drawn (id integer, shape shape); insert into drawn values (1, 'round'), (2, 'square');
create table parted (id integer, word text) partition by list (id);
create table parted_a partition of parted for values in (1);
create table parted_b partition of parted for values in (2);
insert into parted values (1, 'a'), (2, 'b');
"""


def swapped(kind: str, one: str, other: str, place: str = "") -> str:
    """The statements by which two things swap their names."""
    rename = f"alter {place or kind} {{}} rename {'value ' if place.startswith('type') else ''}{{}}to {{}}"
    if not place:
        steps = [(one, "swapped"), (other, one.rpartition(".")[2]), ("swapped", other.rpartition(".")[2])]
        return "; ".join(rename.format(before, "", after) for before, after in steps)
    steps = [(one, "'swapped'"), (other, one), ("'swapped'", other)]
    return "; ".join(f"alter {place} rename {kind} {before} to {after}" for before, after in steps)


SWAPS = {
    "two tables": swapped("table", "white", "black"),
    "two bare tables": swapped("table", "bare_white", "bare_black"),
    "a table without rows and one with a row": swapped("table", "empty_white", "empty_black"),
    "two columns": swapped("column", "word", "deed", "table white").replace("'swapped'", "swapped"),
    "two schemas": swapped("schema", "north", "south"),
    "two sequences": swapped("sequence", "odd", "even"),
    "two views": swapped("view", "days", "nights"),
    "two functions": swapped("function", "yes", "no"),
    "two values of a type": swapped("value", "'round'", "'square'", "type shape"),
    "the rows of two partitions": "alter table parted detach partition parted_a; alter table parted detach partition"
    " parted_b; update parted_a set id = 2; update parted_b set id = 1; alter table parted attach partition parted_a"
    " for values in (2); alter table parted attach partition parted_b for values in (1)",
}
#: Values, changed by statements that leave as many rows as there were.
VALUES = {
    "one value": "update white set word = 'other' where id = 1",
    "two values": "update white set word = deed, deed = word",
    "a row for another": "delete from white where id = 2; insert into white values (3, 'second', 'two')",
    "emptied and filled": "truncate white; insert into white values (1, 'a', 'b'), (2, 'c', 'd')",
    "a sequence": "select nextval('odd')",
    "a large object": "select lo_put(4711, 0, 'LARGE')",
}
CHANGES = {**SWAPS, **VALUES}
#: One of each mechanism; make faults runs the others.
_KEPT = ("two columns", "two bare tables", "two schemas", "two sequences", "two values", "emptied and filled")


def exhaustive(kept: bool, *values: Any) -> Any:
    """One set of parameters, which make test leaves out unless it is kept."""
    return pytest.param(*values, marks=[] if kept else [pytest.mark.exhaustive])


@pytest.fixture
def stage(tmp_path: Path, postgres_database: Database) -> Stage:
    made = Stage(Host(tmp_path / "root"), postgres_database)
    made.run_as_owner(TWINS)
    return made


@pytest.mark.parametrize(
    ("change", "limit"),
    [exhaustive(limit == 0 and change in _KEPT, change, limit) for change in CHANGES for limit in (0, 1 << 30)],
)
def test_what_a_step_changed_and_its_downgrade_leaves_is_as_before(stage: Stage, change: str, limit: int) -> None:
    before = dump(stage.database)
    options: dict[str, Any] = {"run": "r1", "row_counts_limit": limit}
    stage.host.revise("generic", "0002", "0001", executed(CHANGES[change]))
    stage.host.revise("generic", "0003", "0002", "raise RuntimeError('no')")
    assert stage.host.result("upgrade", stage.entry, **options)["outcome"] == "failed"
    assert dump(stage.database) != before

    result = stage.host.result("downgrade", stage.entry, **options)

    assert result["outcome"] == "restored", result
    assert dump(stage.database) == before


@pytest.mark.parametrize(
    ("change", "theirs"),
    [
        exhaustive(False, "two tables", "insert into other values (9, 'theirs')"),
        exhaustive(False, "two values", "insert into other values (9, 'theirs')"),
        ("two schemas", "insert into north.page values (9, 'theirs')"),
        exhaustive(False, "two bare tables", "insert into bare_black values (9)"),
        ("two sequences", "select nextval('odd')"),
    ],
)
def test_where_others_wrote_it_is_held(stage: Stage, change: str, theirs: str) -> None:
    options: dict[str, Any] = {"run": "r1", "row_counts_limit": 0}
    stage.host.revise("generic", "0002", "0001", executed(CHANGES[change]))
    stage.host.revise("generic", "0003", "0002", "raise RuntimeError('no')")
    assert stage.host.result("upgrade", stage.entry, **options)["outcome"] == "failed"
    stage.run_as_owner(theirs)
    before = dump(stage.database)

    result = stage.host.result("downgrade", stage.entry, **options)

    assert (result["outcome"], result["error"]["code"]) == ("held", "others-wrote"), result
    assert dump(stage.database) == before


@pytest.mark.parametrize("swap", [exhaustive(swap == "two schemas", swap) for swap in SWAPS])
def test_a_rehearsal_calls_a_downgrade_lossy_that_does_not_swap_back(stage: Stage, swap: str) -> None:
    stage.database.execute(f'alter role "{stage.database.user}" createdb')
    stage.host.revise("generic", "0002", "0001", executed(SWAPS[swap]), "pass")

    result = stage.host.result("rehearse", stage.entry, run="r1")

    # A copy's sequences go on from where they are: how they differ is a note.
    verdict = "reversible" if swap == "two sequences" else "lossy"
    assert [each["verdict"] for each in result["revisions"]] == [verdict], result
    assert verdict == "lossy" or any("sequence public.odd" in note for note in result["notes"])
