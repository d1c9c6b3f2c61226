"""Whatever is acknowledged to ten writers at work is in the database afterwards, or in a place that was printed."""

from __future__ import annotations

import itertools
import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.postgres import PostgresServer
from tests.lab.shell import CommandFailed
from tests.lab.waiting import wait_until
from tests.property import writers
from tests.property.examples import Example, Revision, Step
from tests.property.world import PostgresWorld, SQLiteWorld, World

_MADE = "CREATE TABLE made (id integer PRIMARY KEY, a text)"
_WIDE = {
    "postgresql": ("ALTER TABLE old ALTER a TYPE varchar(200)", "ALTER TABLE old ALTER a TYPE varchar(50)"),
    "sqlite": ("ALTER TABLE old ADD COLUMN b TEXT", "ALTER TABLE old DROP COLUMN b"),
}
_GATE = """    import os, time
    open({reached!r}, "w").close()
    while not os.path.exists({gate!r}):
        time.sleep(0.02)
    raise RuntimeError('fails on purpose')
"""
#: The mode, whether a downgrade can bring back what was, and whether the owner may create databases.
HOW = ("auto", "downgrade", "restore", "hold")
#: In the last two an application that has the file open writes into it by what it knows, whatever is put in its place.
JOURNALS = ("wal", "delete", "memory", "off")
DAILY = {"sqlite": ("auto", False, "wal"), "postgresql": ("auto", False, True)}


def cases(engine: str) -> list[Any]:
    """Every mode, a downgrade that works or does not, and how a restore is done: one of them is for every day."""
    last = JOURNALS if engine == "sqlite" else (True, False)
    daily: dict[tuple[Any, ...], list[Any]] = {DAILY[engine]: [pytest.mark.daily]}
    return [pytest.param(*case, marks=daily.get(case, [])) for case in itertools.product(HOW, (True, False), last)]


def example(engine: str, mode: str, exact: bool, swap: bool, journal_mode: str = "delete") -> Example:
    """Two revisions, the first of them committed; the second waits for the writers, then fails."""
    wide, narrow = _WIDE[engine]
    first = (
        Step("table is made", (_MADE,)),
        Step("column widens", (wide,)),
        Step("rows change", ("UPDATE old SET a = upper(a)",)),
    )
    back = (Step("", ("UPDATE old SET a = lower(a)",)), Step("", (narrow,)), Step("", ("DROP TABLE made",)))
    return Example(
        engine,
        writers.POSTGRESQL if engine == "postgresql" else writers.SQLITE,
        (Revision(first, back, None, "exact" if exact else "raises"), Revision((), (), 0)),
        per_migration=True,
        options={"on_failure": mode},
        may_create=swap,
        journal_mode=journal_mode,
    )  # fmt: skip


def gated(world: World) -> tuple[Path, Path]:
    """Let the failing revision wait until the test lets it fail."""
    reached, gate = world.folder / "reached", world.folder / "gate"
    path = world.host.layout.release("property") / "source" / "migrations" / "versions" / "0003.py"
    text = _GATE.format(reached=str(reached), gate=str(gate))
    path.write_text(path.read_text().replace("    raise RuntimeError('fails on purpose')\n", text))
    return reached, gate


def run(world: World, at_work: writers.Writers) -> list[dict[str, Any]]:
    """Upgrade, fail and revert under the writers, and return what was printed."""
    reached, gate = gated(world)
    printed: list[dict[str, Any]] = []
    with at_work.at_work():
        at_work.have_written_more()
        upgrade = threading.Thread(target=lambda: printed.append(world.do("upgrade")))
        upgrade.start()
        wait_until(lambda: reached.exists() or not upgrade.is_alive(), "the second revision was not reached")
        if reached.exists():
            at_work.have_written_more()
        gate.touch()
        upgrade.join()
        at_work.have_written_more()
        printed.append(world.do("downgrade"))
        at_work.have_written_more()
    return printed


def in_backups(world: World, printed: list[dict[str, Any]]) -> list[Path]:
    """The dumps whose path was printed."""
    text = json.dumps(printed, default=str)
    found = world.host.layout.locate_backups("app").glob("*/manifest.json")
    return [path.parent / json.loads(path.read_text())["dump"] for path in found if str(path.parent) in text]


def assert_kept(acknowledged: writers.State, places: dict[str, writers.State], printed: list[dict[str, Any]]) -> None:
    lost = {
        name: (count, {place: state.get(name) for place, state in places.items()})
        for name, count in acknowledged.items()
        if max(state.get(name, 0) for state in places.values()) < count
    }
    assert not lost, f"acknowledged, and nowhere: {lost}\n{[_printed(result) for result in printed]}"


def _printed(result: dict[str, Any]) -> dict[str, Any]:
    keys = ("outcome", "error", "reason", "notes", "ways_out", "method", "retained", "not_restored")
    return {key: result[key] for key in keys if result.get(key)}


@pytest.mark.parametrize(("mode", "exact", "journal_mode"), cases("sqlite"))
def test_sqlite(tmp_path: Path, mode: str, exact: bool, journal_mode: str) -> None:
    kept = journal_mode if journal_mode == "wal" else "delete"
    world = SQLiteWorld(tmp_path, example("sqlite", mode, exact, False, kept))
    at_work = writers.SQLiteWriters(world.path, journal_mode, tmp_path / "stop")

    printed = run(world, at_work)

    def places() -> dict[str, writers.State]:
        retained = [
            path for path in world.path.parent.glob("app.db.aside*") if not path.name.endswith(("-wal", "-shm"))
        ]
        return {str(path): writers.read_sqlite(path) for path in (world.path, *retained, *in_backups(world, printed))}

    assert_kept(at_work.acknowledged, places(), printed)
    if printed[-1]["outcome"] == "held":
        printed.append(world.type_command(printed[-1]["ways_out"]["back"]))
        assert_kept(at_work.acknowledged, places(), printed)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(("mode", "exact", "swap"), cases("postgresql"))
def test_postgresql(
    postgres_server: PostgresServer,
    owner: tuple[str, str],
    tmp_path: Path,
    mode: str,
    exact: bool,
    swap: bool,
) -> None:
    world = PostgresWorld(postgres_server, owner, tmp_path, example("postgresql", mode, exact, swap))
    at_work = writers.PostgresWriters(postgres_server.url(world.name, user=owner[0], password=owner[1]))
    try:
        printed = run(world, at_work)
        assert_kept(at_work.acknowledged, _places(world, printed), printed)
        if printed[-1]["outcome"] == "held":
            printed.append(world.type_command(printed[-1]["ways_out"]["back"]))
            assert_kept(at_work.acknowledged, _places(world, printed), printed)
    finally:
        world.close()


def _rows(server: PostgresServer, database: str, statement: str) -> list[list[str]]:
    try:
        return server.execute(statement, database)
    except CommandFailed:
        return [["0"]]  # what is read is not in this place


def _places(world: PostgresWorld, printed: list[dict[str, Any]]) -> dict[str, writers.State]:
    """The database, what its owner has beside it, what is retained in it, and the backups that were printed."""
    server = world.server
    found = {}
    owned = server.execute(f"SELECT datname FROM pg_database WHERE datdba = '\"{world.owner}\"'::regrole")
    for (name,) in owned:
        schemas = server.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname = 'public' OR nspname ~ '^alembic_aside'", name
        )
        for (schema,) in schemas:
            if server.execute(f"SELECT to_regclass('{schema}.inserted') IS NOT NULL", name) == [["t"]]:
                found[f"{name}.{schema}"] = writers.read_postgresql(partial(_rows, server, name), schema)
    for dump in in_backups(world, printed):
        scratch = world.scratch(dump)
        found[str(dump)] = writers.read_postgresql(partial(_rows, server, scratch))
        server.drop_database(scratch)
    return found
