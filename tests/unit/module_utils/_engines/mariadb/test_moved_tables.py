"""What others define while a restore reads, before it has locked the tables: it is neither dropped nor overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import REPLACED_NOTHING
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import swap
from tests.codes import failed
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_restore import archive_of, restore, schemas_beside

_OBJECTS = """
create table item (id int primary key, name varchar(20));
create table other (id int primary key);
insert into item values (1, 'one');
create view names as select name from item;
create procedure p() select 1;
create function f() returns varchar(9) deterministic return 'a  b';
"""
#: One change each of another session.
_CHANGES = {
    "a view that is new": "create view more as select 1 as one",
    "a view that is another one": "create or replace view names as select id from item",
    "a procedure that is gone": "drop procedure p",
    "a blank in a function": "create or replace function f() returns varchar(9) deterministic return 'a b'",
    "a trigger": "create trigger t before insert on other for each row set @a = 1",
    "a column": "alter table other add x int",
    "a foreign key": "alter table other add foreign key (id) references item (id)",
    "an event": "create event e on schedule every 1 day starts '2030-01-01 00:00:00' do delete from other",
}


@pytest.fixture
def stocked(mariadb_database: MariaDatabase) -> Any:
    mariadb_database.execute(_OBJECTS)
    yield mariadb_database
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"drop database `{name}`")


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
def test_what_others_define_before_the_lock_stays_and_nothing_is_replaced(
    stocked: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    archive = archive_of(stocked, tmp_path)
    stocked.execute("update item set name = 'two'")
    changed = tmp_path / "changed"
    lock = swap.Swap._lock

    def change_and_lock(self: swap.Swap) -> None:
        stocked.execute(change)
        changed.write_text(stocked.dump())
        lock(self)

    monkeypatch.setattr(swap.Swap, "_lock", change_and_lock)
    with failed(REPLACED_NOTHING):
        restore(stocked, archive)
    assert stocked.dump() == changed.read_text()
    assert schemas_beside(stocked) == []
