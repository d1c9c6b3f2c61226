"""What people write into env.py: `alembic current` and a downgrade, by the command line of Alembic and by ours."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.conftest import file, host
from tests.unit.module_utils._migration.test_env_variants import VARIANTS, by_alembic, dump, source_of
from tests.unit.stage import Host, database

__all__ = ["file", "host"]

pytestmark = pytest.mark.exhaustive

#: Those that need the arguments of an upgrade fail in `alembic current` too.
NAMES = [name for name in VARIANTS if not name.startswith("asks for the ")]


def heads_by_alembic(printed: str) -> set[str]:
    """The revisions in the lines of `alembic current`; an env.py may print others."""
    return set(re.findall(r"^(\w+) \((?:head|mergepoint|branchpoint)", printed, re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_at_its_revision_and_goes_back_as_by_alembic_itself(
    host: Host, file: Path, tmp_path: Path, name: str
) -> None:
    variant = VARIANTS[name]
    project, theirs = tmp_path / "project", tmp_path / "databases" / "theirs.db"
    source_of(project, variant)
    source_of(host.layout.release(host.ship("generic")) / "source", variant)
    subprocess.run(["sqlite3", str(file), "create table gone (a); drop table gone"], check=True)
    one = database(file, x_arguments=variant.x_arguments, **variant.options)
    by_alembic(project, theirs, variant)
    result = host.result("upgrade", one)
    assert result["error"] is None

    (status,) = host.do("status", one)["databases"]
    current = heads_by_alembic(by_alembic(project, file, variant, "current"))
    assert set(result["after"]) == current == set(status["current"])

    by_alembic(project, theirs, variant, "downgrade", "base")
    back = host.result("rollback", one, run="r2", of_run="r1")

    assert (back["outcome"], back.get("error")) == ("downgraded", None)
    assert dump(file) == dump(theirs)
