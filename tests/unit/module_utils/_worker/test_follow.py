"""How a worker is followed: by its journals, which are read again only when they have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Event, Journal, read_events
from ansible_collections.hosting.alembic.plugins.module_utils._worker import follow
from tests.unit.stage import Host, database


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the journals that were read."""
    names: list[str] = []

    def reading(path: Path) -> list[Event]:
        names.append(path.parent.name)
        return read_events(path)

    monkeypatch.setattr(follow, "read_events", reading)
    return names


def test_a_journal_is_read_again_only_when_it_has_changed(host: Host, read: list[str]) -> None:
    job = host.job("upgrade", *(database(Path("/srv") / name, name) for name in ("a", "b")))
    unfinished = follow.Unfinished(job, job.databases)
    assert unfinished.poll()
    assert read == ["a", "b"]
    Journal(job.locate_journal("a"), "upgrade").write("begun")

    assert [unfinished.poll() for _time in range(5)] == [True] * 5
    assert read == ["a", "b", "a"]
    Journal(job.locate_journal("a"), "upgrade").write("done", result={})

    assert [unfinished.poll() for _time in range(5)] == [True] * 5
    assert read == ["a", "b", "a", "a"]
    Journal(job.locate_journal("b"), "upgrade").write("done", result={})

    assert not unfinished.poll()


def test_an_end_within_one_tick_of_the_clock_is_seen(host: Host) -> None:
    job = host.job("upgrade", database(Path("/srv/a"), "a"))
    journal = Journal(job.locate_journal("a"), "upgrade")
    journal.write("begun")
    unfinished = follow.Unfinished(job, job.databases)
    assert unfinished.poll()
    before = journal.path.stat()

    journal.write("done", result={})
    os.utime(journal.path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert not unfinished.poll()
