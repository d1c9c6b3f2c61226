"""After any run, of any outcome, a database is old to the letter, new to the letter, or held with nothing lost.

`make test` tries a seeded hundred of random examples, `make faults` at least two thousand: HOSTING_ALEMBIC_EXAMPLES
says how many, and HOSTING_ALEMBIC_SHARDS into how many tests they are divided.
"""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from tests.property.counts import Counts
from tests.property.examples import Example, examples
from tests.property.promise import kept
from tests.property.world import PostgresWorld, SQLiteWorld, World

EXAMPLES = int(os.environ.get("HOSTING_ALEMBIC_EXAMPLES", "100"))
SHARDS = int(os.environ.get("HOSTING_ALEMBIC_SHARDS", "4"))
FIRST_SEED = int(os.environ.get("HOSTING_ALEMBIC_SEED", "1"))


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
@pytest.mark.daily
@pytest.mark.timeout(7200)
def test_promise(engine: str, shard: int, request: pytest.FixtureRequest) -> None:
    counts = Counts(engine, shard)

    def world(folder: Path, example: Example) -> World:
        if engine == "sqlite":
            return SQLiteWorld(folder, example)
        request.getfixturevalue("reader")
        return PostgresWorld(
            request.getfixturevalue("postgres_server"), request.getfixturevalue("owner"), folder, example
        )

    @seed(FIRST_SEED + shard)
    @settings(
        max_examples=math.ceil(EXAMPLES / SHARDS / 2),
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(example=examples(engine))
    def holds(example: Example) -> None:
        note(str(example))
        with tempfile.TemporaryDirectory(prefix="property-") as folder:
            made = world(Path(folder), example)
            try:
                counts.add(example, kept(made))
            finally:
                made.close()

    try:
        holds()
    finally:
        counts.write()
