"""Examples that were found once, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.postgres import PostgresServer
from tests.property.examples import Example, Revision, Step
from tests.property.promise import kept
from tests.property.world import PostgresWorld

#: The rows hold it, and a rollback would leave what the failed revision has committed by itself.
HALF_COMMITTED = Example(
    "postgresql",
    ("CREATE TABLE k1 (a integer)",),
    (
        Revision(
            (Step("column is added", ("ALTER TABLE k1 ADD e integer",), "with a COMMIT behind a comment"),),
            (Step("", ("ALTER TABLE k1 DROP e",)),),
        ),
        Revision(
            (
                Step(
                    "table is made",
                    ("CREATE TABLE k2 (a integer)", "INSERT INTO k2 VALUES (1), (2)"),
                    "with a COMMIT behind it in one string",
                ),
                Step("column is added", ("ALTER TABLE k1 ADD f integer",), "with a COMMIT behind it in one string"),
            ),
            (Step("", ("ALTER TABLE k1 DROP f",)), Step("", ("DROP TABLE k2",))),
            fails_before=2,
        ),
    ),
    options={"on_failure": "auto"},
)

#: No downgrade undoes it, and a restore needs another database: the owner cannot move a range type.
RANGE_TYPE = Example(
    "postgresql",
    (),
    (
        Revision(
            (
                Step("table is made", ("CREATE TABLE k1 (id serial PRIMARY KEY)", "INSERT INTO k1 VALUES (7)")),
                Step("range type is made", ("CREATE TYPE k2 AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi)",)),
                Step("extension is made", ("CREATE EXTENSION IF NOT EXISTS hstore",), "in an autocommit block"),
            ),
            (
                Step("", ("DROP EXTENSION hstore",)),
                Step("", ("DROP TYPE k2",)),
                Step("", ("DROP TABLE k1",)),
            ),
            fails_before=3,
        ),
    ),
    may_create=False,
)


@pytest.mark.daily
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("per_migration", [False, True])
def test_the_printed_command_undoes_what_a_failed_revision_has_committed(
    tmp_path: Path, postgres_server: PostgresServer, owner: tuple[str, str], *, per_migration: bool
) -> None:
    world = PostgresWorld(
        postgres_server, owner, tmp_path, Example(**{**vars(HALF_COMMITTED), "per_migration": per_migration})
    )
    try:
        assert kept(world) == "held"
    finally:
        world.close()


@pytest.mark.usefixtures("reader")
def test_the_printed_commands_of_a_superuser_and_of_a_user_revert_it(
    tmp_path: Path, postgres_server: PostgresServer, owner: tuple[str, str]
) -> None:
    world = PostgresWorld(postgres_server, owner, tmp_path, RANGE_TYPE)
    try:
        assert kept(world) == "held"
    finally:
        world.close()
