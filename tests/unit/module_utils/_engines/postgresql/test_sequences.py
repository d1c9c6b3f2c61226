"""A sequence is set forward only while it is behind, and what our own programs read of one is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.engine import PostgreSQL
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.restore_in_place import InPlace
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.sequences import (
    Positions,
    set_forward,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.write_counters import (
    await_counters,
    count_sequence_reads,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import failed
from tests.lab.fixtures import Database as Postgres


@pytest.fixture
def engine(tmp_path: Path, postgres_database: Postgres) -> Iterator[PostgreSQL]:
    postgres_database.execute('create sequence up; create sequence "d:n" increment -2')
    for name in ("up", '"d:n"'):
        postgres_database.execute(f'alter sequence {name} owner to "{postgres_database.user}"')
    engine = build_engine(Database("app", postgres_database.url), Job("restore", str(tmp_path), run="r1"))
    assert isinstance(engine, PostgreSQL)
    yield engine
    engine.close()


@pytest.mark.parametrize(
    ("name", "now", "was", "expected_heads"),
    [
        ("public.up", "5, true", (9, True), ["9", "t"]),
        ("public.up", "9, false", (9, True), ["9", "t"]),
        ("public.up", "20, true", (9, True), ["20", "t"]),
        ("public.up", "10, false", (9, True), ["10", "f"]),
        ('public."d:n"', "-2, true", (-8, True), ["-8", "t"]),
        ('public."d:n"', "-20, true", (-8, True), ["-20", "t"]),
    ],
)
def test_a_sequence_is_never_set_back(
    engine: PostgreSQL,
    postgres_database: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    now: str,
    was: tuple[int, bool],
    expected_heads: list[str],
) -> None:
    ((oid,),) = postgres_database.execute(f"select '{name}'::regclass::oid")
    postgres_database.execute(f"select setval('{name}', {now})")
    step = 1 if "up" in name else -2
    # What was read before it was used.
    read: Positions = {name: (1 if step > 0 else -1, False, oid, step)}
    monkeypatch.setattr(
        "ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.sequences.read_positions",
        lambda _engine: read,
    )
    engine.open_own_connection().run(await_counters)
    counted = engine.open_own_connection().run(count_sequence_reads)[oid][1]

    notes = set_forward(engine, {name: (*was, oid, step)}, None, WrittenRows([], frozenset(), {}))

    engine.close()
    assert postgres_database.execute(f"select last_value, is_called from {name}") == [expected_heads]
    assert bool(notes) == (now != f"{expected_heads[0]}, {'true' if expected_heads[1] == 't' else 'false'}")
    # The line above has only read it.
    engine.open_own_connection().run(await_counters)
    assert (
        engine.open_own_connection().run(count_sequence_reads)[oid][1] - counted
        == engine.sequence_reads[oid]
        == len(notes)
    )


def test_what_an_attempt_has_read_that_failed_is_not_taken_for_others(engine: PostgreSQL, tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    dump = engine.dump(tmp_path / "dump", False, _silent)
    archive = Archive(dump.path, [], None, frozenset(), dump.activity)
    engine.close()
    engine.open_own_connection().run(await_counters)
    before = {oid: reads for oid, (_name, reads) in engine.open_own_connection().run(count_sequence_reads).items()}
    known = engine.sequence_reads.copy()

    def refuse() -> None:
        raise Failed("It goes no further", code="restore-failed")

    with failed("restore-failed", "It goes no further"):
        InPlace(engine, archive, "r1", _silent).restore(refuse)

    now = {oid: reads for oid, (_name, reads) in engine.open_own_connection().run(count_sequence_reads).items()}
    assert len(before) == 2
    assert {oid: now[oid] - before[oid] for oid in now} == dict(engine.sequence_reads - known)
    assert all(engine.sequence_reads[oid] for oid in before)


def _silent(_words: str) -> None:
    return None
