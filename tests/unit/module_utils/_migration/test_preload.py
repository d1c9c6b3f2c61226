from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stage import Host, database, heads, names

COUNTS = """
import os
with open({record!r}, "a") as record:
    record.write(f"{{os.getppid()}}\\n")
"""
STARTS_A_THREAD = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


@pytest.fixture
def record(host: Host, tmp_path: Path) -> Path:
    """A file with one line for each time that the revisions were loaded."""
    path = tmp_path / "record"
    host.ship("generic")
    prepend(host, COUNTS.format(record=str(path)))
    return path


def prepend(host: Host, code: str) -> None:
    """Let a revision do something whenever it is loaded."""
    (revision,) = (host.layout.release("generic") / "source" / "migrations" / "versions").glob("*0001*.py")
    revision.write_text(f"{code}\n{revision.read_text()}")


def loads(record: Path) -> int:
    """Return how often the revisions were loaded."""
    return len(record.read_text().splitlines())


def upgraded(host: Host, folder: Path, **more: object) -> list[str]:
    """Upgrade four databases and return where they are."""
    folder.mkdir()
    entries = [database(folder / f"{number}.db", name=f"d{number}", **more) for number in range(4)]
    answer = host.do("upgrade", *entries)
    assert [result["outcome"] for result in answer["results"]] == ["upgraded"] * 4
    return [head for number in range(4) for head in heads(folder / f"{number}.db")]


def test_the_revisions_are_loaded_once_for_all_databases(host: Host, record: Path, tmp_path: Path) -> None:
    assert upgraded(host, tmp_path / "databases") == ["0002"] * 4

    assert loads(record) == 2  # in a process that was thrown away, to see whether it is harmless, and then for all


def test_revisions_that_start_threads_are_loaded_in_each_process(host: Host, record: Path, tmp_path: Path) -> None:
    prepend(host, STARTS_A_THREAD)

    assert upgraded(host, tmp_path / "databases") == ["0002"] * 4

    assert loads(record) == 1 + 4


def test_databases_with_an_environment_of_their_own_load_them_under_it(
    host: Host, record: Path, tmp_path: Path
) -> None:
    assert upgraded(host, tmp_path / "databases", environment={"TENANT": "shop"}) == ["0002"] * 4

    assert loads(record) == 4


def test_revisions_that_do_not_load_are_refused_for_each_database(host: Host, tmp_path: Path) -> None:
    host.ship("generic")
    prepend(host, "raise SystemExit('not like this')")
    entries = [database(tmp_path / f"{number}.db", name=f"d{number}") for number in range(2)]

    plans = host.do("plan", *entries)["databases"]

    assert [plan["obstacles"][0]["code"] for plan in plans] == ["revisions-not-loadable"] * 2
    assert names(tmp_path) == ["root"]
