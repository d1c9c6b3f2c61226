"""Schemas beside a database count as ours only if this host has made them as they are."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import swap
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.swap_state import (
    SwapState,
    build_schema_names,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_restore import archive_of, engine_of, restore, schemas_beside
from tests.unit.stage import in_process

_STATE = (
    "create table `{0}`.hosting_alembic_state (id int primary key, facts longtext, `back` longblob, `forth` longblob)"
)
_PHASES = ["begun", "out", "in"]


@pytest.fixture
def attacked(mariadb_database: MariaDatabase) -> Iterator[MariaDatabase]:
    """A database whose customer may make others that begin with its name; beside it one that is another customer's."""
    server, name = mariadb_database.server, mariadb_database.name
    pattern = name.replace("_", "\\_")
    server.execute(f"grant all on `{pattern}\\_%`.* to '{name}'@'%'; create database other_{name}")
    server.execute("create table precious (id int); insert into precious values (1)", f"other_{name}")
    mariadb_database.execute("create table t (id int primary key); insert into t values (1)")
    yield mariadb_database
    for schema in (f"other_{name}", *schemas_beside(mariadb_database)):
        server.execute(f"set foreign_key_checks = 0; drop database if exists `{schema}`")


def as_customer(database: MariaDatabase, statements: str) -> None:
    database.server._execute(statements, database.name, database.user, database.password)


def forged(database: MariaDatabase, **facts: Any) -> str:
    """Make a schema as a restore would that has not ended, whose script gives its customer all rights."""
    name = f"{build_schema_names(database.name, 'old')[1]}_20261129000000"
    state = SwapState(database.name, "run", "", beside=f"other_{database.name}")
    script = json.dumps([f"grant all privileges on *.* to '{database.name}'@'%' with grant option;\n"]).encode().hex()
    as_customer(
        database,
        f"create database `{name}`; {_STATE.format(name)};"
        f"insert into `{name}`.hosting_alembic_state"
        f" values (1, '{json.dumps({**asdict(state), **facts})}', 0x{script}, 0x{script})",
    )
    return name


def lock(database: MariaDatabase) -> None:
    in_process(lambda: engine_of(database).lock(5, lambda _: None).release())


def assert_unharmed(database: MariaDatabase) -> None:
    assert database.server.execute("select id from precious", f"other_{database.name}") == [["1"]]
    grants = database.server.execute(f"show grants for '{database.name}'@'%'")
    assert not [grant for (grant,) in grants if "ALL PRIVILEGES ON *.*" in grant]


def die_between(database: MariaDatabase, archive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a restore that dies when its tables have moved out."""

    def dying(*_: Any) -> str:
        raise KeyboardInterrupt

    def work() -> None:
        for name in ("move_in", "end_or_undo"):
            monkeypatch.setattr(swap, name, dying)
        with pytest.raises(KeyboardInterrupt):
            find_restorer(engine_of(database)).restore(archive, "run", lambda _: None, lambda: None)

    in_process(work)
    monkeypatch.undo()


@pytest.mark.parametrize("phase", _PHASES)
def test_a_forged_restore_is_neither_ended_nor_undone(attacked: MariaDatabase, phase: str) -> None:
    name = forged(attacked, phase=phase)
    with refused("restore-not-proven", name):
        lock(attacked)
    assert_unharmed(attacked)
    assert schemas_beside(attacked) == [name]


@pytest.mark.parametrize("facts", ["[]", "no JSON", '{"of": 1}'], ids=["a list", "no JSON", "too little"])
def test_what_cannot_be_understood_is_not_trusted(attacked: MariaDatabase, facts: str) -> None:
    name = forged(attacked)
    as_customer(attacked, f"update `{name}`.hosting_alembic_state set facts = '{facts}'")
    with refused("restore-not-proven", name):
        lock(attacked)
    assert_unharmed(attacked)


def test_a_view_in_the_place_of_the_state_is_not_read(attacked: MariaDatabase) -> None:
    """It would execute its customer's function with the rights of any user who reads it."""
    name = forged(attacked)
    as_customer(attacked, f"drop table `{name}`.hosting_alembic_state")
    as_customer(
        attacked,
        "delimiter //\n"
        f"create function `{name}`.f() returns longtext sql security invoker modifies sql data"
        f" begin delete from other_{attacked.name}.precious; return 'x'; end//\ndelimiter ;\n"
        f"create sql security invoker view `{name}`.hosting_alembic_state as"
        f" select 1 as id, `{name}`.f() as facts, '' as `back`, '' as `forth`",
    )
    with refused("restore-not-proven", name):
        lock(attacked)
    assert_unharmed(attacked)


def test_a_state_of_ours_that_was_changed_is_not_executed(
    attacked: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_of(attacked, tmp_path)
    attacked.execute("alter table t add column c int")
    die_between(attacked, archive, monkeypatch)
    (name,) = (each for each in schemas_beside(attacked) if "_old_" in each)
    row = attacked.server.execute("select hex(`forth`) from hosting_alembic_state", name)[0][0]
    script = json.dumps([f"grant all privileges on *.* to '{attacked.name}'@'%' with grant option;\n"]).encode().hex()
    attacked.server.execute(f"update hosting_alembic_state set `forth` = 0x{script}, `back` = 0x{script}", name)
    with refused("restore-not-proven", name):
        lock(attacked)
    assert_unharmed(attacked)
    attacked.server.execute(f"update hosting_alembic_state set `forth` = 0x{row}, `back` = 0x5B5D", name)
    lock(attacked)
    assert attacked.execute("select id from t") == [["1"]]


def test_a_restore_that_has_ended_is_not_ended_again(attacked: MariaDatabase, tmp_path: Path) -> None:
    archive = archive_of(attacked, tmp_path)
    attacked.execute("create view made as select 1 as one")
    retained = restore(attacked, archive).retained
    attacked.execute("create view made as select 2 as two")
    attacked.server.execute("update hosting_alembic_state set facts = json_set(facts, '$.phase', 'in')", retained)
    lock(attacked)
    assert attacked.execute("select two from made") == [["2"]]
    assert schemas_beside(attacked) == [retained]


def test_others_schemas_of_such_names_stay(attacked: MariaDatabase, tmp_path: Path) -> None:
    """What a backup would be loaded into, and what only begins like one of ours."""
    archive = archive_of(attacked, tmp_path)
    loaded = build_schema_names(attacked.name, "new")[0]
    made = [loaded, f"{loaded}_s1", f"{build_schema_names(attacked.name, 'old')[0]}_by_hand_{secrets.token_hex(2)}"]
    for name in made:
        attacked.server.execute(f"create database `{name}`; create table `{name}`.kept (id int)")
    attacked.execute("alter table t add column c int")
    restored = restore(attacked, archive)
    lock(attacked)
    assert attacked.execute("show columns from t like 'c'") == []
    assert schemas_beside(attacked) == sorted([*made, restored.retained])


def test_another_host_does_not_end_a_restore(
    attacked: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_of(attacked, tmp_path)
    attacked.execute("alter table t add column c int")
    new = attacked.dump()
    die_between(attacked, archive, monkeypatch)
    with refused("restore-not-proven"):
        in_process(lambda: engine_of(attacked, root=str(tmp_path / "another")).lock(5, lambda _: None).release())
    lock(attacked)
    assert attacked.dump() == new
