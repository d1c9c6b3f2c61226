from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.results import PlanFacts
from ansible_collections.hosting.alembic.plugins.module_utils._plan.at_head import read_known_plans
from tests.unit.stage import Host, database, names, sql


@pytest.fixture
def upgraded(host: Host, file: Path) -> Path:
    """A database that an upgrade has verified at head."""
    host.ship("generic")
    host.result("upgrade", database(file))
    return file


def known(host: Host, file: Path, **options: Any) -> dict[str, PlanFacts]:
    """Return what is known of the one database without its env.py."""
    entry = options.pop("entry", {})
    return read_known_plans(host.job("plan", database(file, **entry), **options))


def test_what_was_verified_is_known_without_env_py(host: Host, upgraded: Path) -> None:
    (host.layout.release("generic") / "source" / "migrations" / "env.py").write_text("raise SystemExit('asked')")

    plan = known(host, upgraded)["app"]

    assert (plan["current"], plan["heads"], plan["pending"]) == (["0002"], ["0002"], [])
    assert plan["obstacles"] == []
    assert host.plan(database(upgraded)) == plan


def test_it_says_the_same_as_the_full_plan(host: Host, upgraded: Path) -> None:
    quick = known(host, upgraded)["app"]
    (host.layout.locate_journals("app") / "verified.json").unlink()

    assert host.plan(database(upgraded)) == quick


@pytest.mark.parametrize(
    "options",
    [
        {"target": "0001"},
        {"setup": "package.module:prepare"},
        {"alembic_options": {"version_table": "other"}},
        {"entry": {"x_arguments": ["tenant=shop"]}},
        {"entry": {"environment": {"TENANT": "shop"}}},
    ],
)
def test_whatever_env_py_could_see_differently_is_planned_in_full(
    host: Host, upgraded: Path, options: dict[str, Any]
) -> None:
    assert known(host, upgraded, **options) == {}


def test_another_release_is_planned_in_full(host: Host, upgraded: Path) -> None:
    host.ship("generic", release="newer")

    assert known(host, upgraded) == {}


def test_a_database_that_was_moved_is_planned_in_full(host: Host, upgraded: Path) -> None:
    sql(upgraded, "update alembic_version set version_num = '0001'")

    assert known(host, upgraded) == {}
    assert [step["revision"] for step in host.plan(database(upgraded))["pending"]] == ["0002"]


def test_a_version_table_that_is_gone_is_planned_in_full(host: Host, upgraded: Path) -> None:
    sql(upgraded, "drop table alembic_version")

    assert known(host, upgraded) == {}


def test_a_file_that_is_gone_is_planned_in_full_and_not_made(host: Host, upgraded: Path) -> None:
    upgraded.unlink()

    assert known(host, upgraded) == {}
    assert names(upgraded.parent) == []


def test_a_damaged_record_is_not_a_record(host: Host, upgraded: Path) -> None:
    (host.layout.locate_journals("app") / "verified.json").write_text('{"heads": 1}')

    assert known(host, upgraded) == {}


def test_a_relative_target_is_never_known(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file), target="+1")

    assert known(host, file, target="+1") == {}
    assert [step["revision"] for step in host.plan(database(file), target="+1")["pending"]] == ["0002"]


def test_several_version_tables_are_never_known(host: Host, file: Path) -> None:
    host.ship("several_contexts")
    host.result("upgrade", database(file))

    assert known(host, file) == {}


def test_what_a_run_finds_at_head_is_known_from_then_on(host: Host, upgraded: Path) -> None:
    host.ship("generic", release="newer")

    full = host.plan(database(upgraded), remember=True)

    assert known(host, upgraded) == {"app": full}


def test_a_mere_plan_leaves_no_record(host: Host, upgraded: Path) -> None:
    host.ship("generic", release="newer")
    before = (host.layout.locate_journals("app") / "verified.json").read_text()

    host.plan(database(upgraded))

    assert (host.layout.locate_journals("app") / "verified.json").read_text() == before


def test_what_has_something_pending_leaves_no_record(host: Host, file: Path) -> None:
    host.ship("generic")

    host.plan(database(file), remember=True)

    assert not host.layout.locate_journals("app").exists()
    assert not file.exists()


def test_a_file_behind_a_link_that_was_turned_is_planned_in_full(host: Host, file: Path) -> None:
    host.ship("generic")
    link = file.with_name("link.db")
    link.symlink_to(file)
    host.result("upgrade", database(link))
    assert known(host, link)["app"]["identity"] == f"{file} on this host"
    other = file.with_name("other.db")
    other.write_bytes(file.read_bytes())

    link.unlink()
    link.symlink_to(other)

    assert known(host, link) == {}


def test_the_record_holds_no_secret(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file, environment={"TOKEN": "m4rked"}))

    record = (host.layout.locate_journals("app") / "verified.json").read_text()

    assert "m4rked" not in record
    assert str(file) in record
