"""Migrations of other projects, unedited, with their own requirements."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.codes import assert_code
from tests.integration.foreign import flask_binds, foreign
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


def test_each_bind_of_a_flask_application_is_migrated_as_flask_migrate_does(site: Site, tmp_path: Path) -> None:
    virtualenv, project = foreign.flask_source().virtualenv, tmp_path / "project"
    flask_binds.write(virtualenv, project)
    expected = tmp_path / "expected.db", tmp_path / "expected of stock.db"
    flask_binds.flask_db(virtualenv, project, expected, "upgrade")
    ours = tmp_path / "ours.db", tmp_path / "ours of stock.db"
    for path in ours:
        path.touch(mode=0o600)
    main, stock = (f"sqlite:///{path}" for path in ours)

    site.run(
        "migrate",
        migrate_source=str(project),
        migrate_virtualenv=str(virtualenv),
        migrate_alembic_options={"script_location": "migrations"},
        migrate_setup="shop:create_app",
        migrate_databases=[
            {
                "name": "main",
                "url": main,
                "engine_name": "default",
                "url_variables": ["DATABASE_URL"],
                "environment": {"STOCK_URL": stock},
            },
            {
                "name": "stock",
                "url": stock,
                "engine_name": "stock",
                "url_variables": ["STOCK_URL"],
                "environment": {"DATABASE_URL": main},
            },
        ],
    )

    assert [_dump(path) for path in ours] == [_dump(path) for path in expected]


def _dump(path: Path) -> str:
    return subprocess.run(["sqlite3", str(path), ".dump"], check=True, capture_output=True, text=True).stdout
