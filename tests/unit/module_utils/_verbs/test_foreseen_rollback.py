"""What a rollback and a backup would do, beside what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.stage import Host, database, sql


def outcomes(host: Host, verb: str, entry: Any, **options: Any) -> list[tuple[str, str]]:
    """Return how a verb is foreseen, and how it ends."""
    (foreseen,) = host.do(f"foresee_{verb}", entry, **options)["results"]
    real = host.result(verb, entry, **options)
    return [(each["outcome"], (each.get("error") or {}).get("code", "")) for each in (foreseen, real)]


@pytest.mark.parametrize("what", ["as it was", "moved", "gone"])
def test_a_rollback_is_foreseen_as_it_is_refused(host: Host, file: Path, what: str) -> None:
    host.ship("generic")
    entry = database(file)
    assert host.result("upgrade", entry, run="r1")["outcome"] == "upgraded"
    if what == "moved":
        sql(file, "update alembic_version set version_num = '0001'")
    if what == "gone":
        file.unlink()

    foreseen, real = outcomes(host, "rollback", entry, run="r2", of_run="r1")

    assert foreseen == real
    assert (foreseen[0] == "downgraded") == (what == "as it was")
    assert file.exists() == (what != "gone")


def test_a_backup_is_foreseen_as_it_is_refused(host: Host, file: Path, tmp_path: Path) -> None:
    host.ship("generic")
    missing = tmp_path / "missing" / "x.db"

    foreseen, real = outcomes(host, "backup", database(missing), run="b1")

    assert foreseen == real
    assert foreseen[0] != "backed_up"
    assert not missing.parent.exists()
    assert host.result("upgrade", database(file), run="r1")["outcome"] == "upgraded"
    assert [words for words, _code in outcomes(host, "backup", database(file), run="b2")] == ["backed_up"] * 2
