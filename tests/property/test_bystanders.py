"""Whatever else is in a database: where a downgrade brings back what was, it is enough, and what others wrote stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.property.examples import KINDS, Example, Revision, Step
from tests.property.kinds import Kind, named
from tests.property.world import PostgresWorld, SQLiteWorld, World
from tests.unit.stage import sql

_MINE = ("CREATE TABLE mine (a integer)",)
_MADE = Revision((Step("", ("CREATE TABLE made (a integer)",)),), (Step("", ("DROP TABLE made",)),))
_FAILS = Revision((), (), 0)


def _cases() -> list[object]:
    return [pytest.param(engine, kind, id=f"{engine} {kind.name}") for engine in KINDS for kind in KINDS[engine]]


def _world(engine: str, example: Example, folder: Path, request: pytest.FixtureRequest) -> World:
    if engine == "sqlite":
        return SQLiteWorld(folder, example)
    request.getfixturevalue("reader")
    return PostgresWorld(request.getfixturevalue("postgres_server"), request.getfixturevalue("owner"), folder, example)


def _write(world: World, number: int) -> None:
    """Write a row as another session."""
    statement = f"INSERT INTO mine VALUES ({number})"
    if isinstance(world, PostgresWorld):
        world.server.execute(statement, world.name)
    else:
        assert isinstance(world, SQLiteWorld)
        sql(world.path, statement)


def _rows(world: World) -> list[int]:
    statement = "SELECT a FROM mine ORDER BY a"
    if isinstance(world, PostgresWorld):
        return [int(row[0]) for row in world.server.execute(statement, world.name)]
    assert isinstance(world, SQLiteWorld)
    return [row[0] for row in sql(world.path, statement)]


@pytest.mark.parametrize(("engine", "kind"), _cases())
def test_what_is_in_a_database_is_not_a_reason_to_restore_or_to_hold_it(
    engine: str, kind: Kind, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    setup = (*_MINE, *named(kind.make, "k1"))
    world = _world(engine, Example(engine, setup, (_MADE, _FAILS), per_migration=True), tmp_path, request)
    try:
        assert world.do("upgrade")["outcome"] == "failed"
        _write(world, 1)
        reverted = world.do("downgrade")
        assert (reverted["outcome"], reverted["after"], _rows(world)) == ("downgraded", ["0001"], [1]), reverted

        upgraded = world.do("upgrade", "r2", target="0002", retry_failed=["app"])
        assert (upgraded["outcome"], upgraded["lost_rows"]) == ("upgraded", {}), upgraded
        _write(world, 2)
        back = world.do("rollback", "r3", of_run="r2")
        assert (back["outcome"], back["after"], _rows(world)) == ("downgraded", ["0001"], [1, 2]), back
    finally:
        world.close()
