"""Migrations of other projects, unedited, with their own requirements."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.codes import assert_code
from tests.integration.foreign import foreign
from tests.integration.site import Site
from tests.integration.targets import SQLiteTarget, Target

CASES = ("mlflow", "keystone", "flask", "fastapi")


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> foreign.ForeignCase:
    made: foreign.ForeignCase = getattr(foreign, f"{request.param}_source")()
    return made


def test_every_case_is_tried() -> None:
    assert tuple(case.name for case in foreign.all_cases()) == CASES


def test_published_migrations_reach_their_heads_and_stay_there(
    site: Site, targets: list[Target], case: foreign.ForeignCase
) -> None:
    for target in targets:
        # SQLAlchemy's own choice of a driver is not the one that the case brings.
        case.prepare(target.url.replace("postgresql:", "postgresql+psycopg2:"))
    variables = case.variables("")
    [entry] = variables["migrate_databases"]
    variables["migrate_databases"] = [{**entry, **target.entry} for target in targets]
    outcome = site.run("migrate", **variables)
    results = outcome.results("Upgrade each database")[-1]["databases"]
    assert [len(database["applied"]) for database in results] == [case.revisions] * 2
    assert all(set(target.revisions) == case.heads for target in targets)
    tables, before = [target.tables() for target in targets], [target.dump() for target in targets]
    assert site.run("migrate", **variables).changed == 0
    assert [target.dump() for target in targets] == before

    possible = [case.steps_back[target.engine] >= case.revisions for target in targets]
    outcome = site.run("rollback", code=0 if all(possible) else 2, **variables)
    for target, whole, old in zip(targets, possible, tables):
        if whole:
            assert target.revisions == []
            assert set(target.tables()) < set(old)
        else:
            # Its authors' downgrades break off: nothing is dropped to get around them, and it is reported.
            assert_code(outcome, "rollback-failed")
            assert target.tables()


USE = "import asyncio; from app.main import add, products; asyncio.run(add('lamp', 7)); print(asyncio.run(products()))"


def test_a_fastapi_application_works_with_what_was_migrated_over_its_own_engine(
    site: Site, sqlite: SQLiteTarget
) -> None:
    case = foreign.fastapi_source()
    variables = case.variables("")
    variables["migrate_databases"] = [{**variables["migrate_databases"][0], **sqlite.entry}]

    site.run("migrate", **variables)

    assert sqlite.revisions == sorted(case.heads)
    environment = {**os.environ, **case.environment, "DATABASE_URL": sqlite.entry["url"]}
    command = [str(case.python), "-c", USE]
    done = subprocess.run(command, cwd=case.source, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "{'lamp': 7}\n"
    assert sqlite.rows("select name, price from product") == [("lamp", 7)]
