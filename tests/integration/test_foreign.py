"""Migrations that nobody here wrote, unedited, with their own requirements."""

from __future__ import annotations

import pytest

from tests.integration.foreign import foreign
from tests.integration.site import Site
from tests.integration.targets import Target

CASES = ("mlflow", "keystone", "flask")


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> foreign.ForeignCase:
    made: foreign.ForeignCase = getattr(foreign, f"{request.param}_source")()
    return made


def test_every_case_is_tried() -> None:
    assert tuple(case.name for case in foreign.all_cases()) == CASES


def test_published_migrations_reach_their_heads_and_stay_there(
    site: Site, target: Target, case: foreign.ForeignCase
) -> None:
    case.prepare(target.url)
    variables = case.variables(target.url)
    outcome = site.run("migrate", **variables)
    assert set(target.revisions) == case.heads
    database = outcome.results("Back up, upgrade and verify")[-1]["databases"][0]
    assert len(database["applied"]) == case.revisions
    tables, dump = target.tables(), target.dump()
    assert tables
    assert site.run("migrate", **variables).changed == 0
    assert target.dump() == dump

    possible = case.steps_back[target.engine] >= case.revisions
    outcome = site.run("rollback", code=0 if possible else 2, **variables)
    if possible:
        assert target.revisions == []
        assert set(target.tables()) < set(tables)
    else:
        # Its authors' downgrades break off: the database is left as it was, or held where they broke off.
        assert target.revisions or target.engine == "sqlite"
        assert "HELD" in outcome.output or "held" in outcome.output
