"""What a run's plan leaves for its upgrade, which does not run env.py to hear the same once more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.stage import Host, database, heads, sql

#: Each run of env.py leaves a line beside the release.
_COUNTED = "\nimport pathlib\nwith open({file!r}, 'a') as handle:\n    handle.write('ran\\n')\n"


@pytest.fixture
def runs(host: Host, file: Path, tmp_path: Path) -> Path:
    """A database with one revision of two, and a file with a line for each run of its env.py."""
    host.ship("generic")
    host.result("upgrade", database(file), run="r0", target="0001")
    env_py = host.layout.release("generic") / "source" / "migrations" / "env.py"
    counted = tmp_path / "runs"
    env_py.write_text(env_py.read_text() + _COUNTED.format(file=str(counted)))
    return counted


def make_later(record: Path) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), "format": 99}))


def count(runs: Path) -> int:
    return len(runs.read_text().splitlines()) if runs.exists() else 0


def planned(host: Host, file: Path, **options: Any) -> Path:
    """Plan as the module does in a run, and return the record."""
    host.plan(database(file), remember=True, **options)
    return host.layout.journals_of("app") / "planned.json"


def test_an_upgrade_runs_env_py_once_after_its_plan(host: Host, file: Path, runs: Path) -> None:
    record = planned(host, file)
    assert (count(runs), record.is_file()) == (1, True)

    assert host.result("upgrade", database(file))["outcome"] == "upgraded"

    assert (count(runs), heads(file)) == (2, ["0002"])
    assert not record.exists()


def test_without_its_own_plan_it_runs_env_py_for_its_plan_too(host: Host, file: Path, runs: Path) -> None:
    planned(host, file, run="another")

    assert host.result("upgrade", database(file))["outcome"] == "upgraded"

    assert count(runs) == 3


@pytest.mark.parametrize(
    "options", [{"target": "0002"}, {"setup": "os:getcwd"}, {"alembic_options": {"some": "other"}}]
)
def test_with_other_options_too(host: Host, file: Path, runs: Path, options: dict[str, Any]) -> None:
    planned(host, file)

    assert host.result("upgrade", database(file), **options)["outcome"] == "upgraded"

    assert count(runs) == 3


def test_a_database_that_was_moved_since_is_planned_anew(host: Host, file: Path, runs: Path) -> None:
    planned(host, file)
    sql(file, "update alembic_version set version_num = '0002'")

    assert host.result("upgrade", database(file))["outcome"] == "unchanged"

    assert count(runs) == 2


@pytest.mark.parametrize(
    "damage", [lambda record: os.utime(record, (0, 0)), lambda record: record.write_text("{"), make_later]
)
def test_with_a_record_that_does_not_do_too(
    host: Host, file: Path, runs: Path, damage: Callable[[Path], object]
) -> None:
    damage(planned(host, file))

    assert host.result("upgrade", database(file))["outcome"] == "upgraded"

    assert count(runs) == 3


@pytest.mark.usefixtures("runs")
def test_with_an_env_py_that_writes_before_it_migrates_too(host: Host, file: Path) -> None:
    env_py = host.layout.release("generic") / "source" / "migrations" / "env.py"
    writes = "with connectable.connect() as connection:\n"
    assert writes in env_py.read_text()
    written = "        connection.exec_driver_sql('create table if not exists early (a)')\n"
    env_py.write_text(env_py.read_text().replace(writes, writes + written))

    assert not planned(host, file).exists()


@pytest.mark.usefixtures("runs")
def test_a_mere_plan_leaves_nothing(host: Host, file: Path) -> None:
    host.plan(database(file))
    host.plan(database(file), run="", remember=True)

    assert not (host.layout.journals_of("app") / "planned.json").exists()
