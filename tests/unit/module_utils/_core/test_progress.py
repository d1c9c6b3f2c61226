from __future__ import annotations

import time
from pathlib import Path

from ansible_collections.hosting.alembic.plugins.module_utils._core.progress import Progress, read_progress


def printed(path: Path) -> str:
    deadline = time.monotonic() + 5
    while not read_progress(path) and time.monotonic() < deadline:
        time.sleep(0.05)
    return read_progress(path)


def test_it_says_phase_detail_and_who_blocks_and_goes_away_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "app.progress"
    with Progress(path) as progress:
        progress.begin_phase("revision 2 of 3, 0002 notes")
        progress.report("4 of 5 pages")
        progress.waits_for = lambda: ["pid 7 (shop)"]

        line = printed(path)

    assert line.startswith("revision 2 of 3, 0002 notes, 4 of 5 pages, waits for pid 7 (shop) (")
    assert read_progress(path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_new_phase_forgets_the_detail_of_the_last_one(tmp_path: Path) -> None:
    with Progress(tmp_path / "app.progress") as progress:
        progress.report("old")
        progress.begin_phase("verifies")

        assert printed(tmp_path / "app.progress") in ("verifies (1 s)", "verifies (0 s)")


def test_who_cannot_read_the_blockers_does_not_stop_the_work(tmp_path: Path) -> None:
    def broken() -> list[str]:
        raise ConnectionError

    with Progress(tmp_path / "app.progress") as progress:
        progress.waits_for = broken
        time.sleep(1.2)
        progress.waits_for = list

        assert printed(tmp_path / "app.progress")


def test_half_a_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "app.progress").write_text('{"line": "ha')

    assert read_progress(tmp_path / "app.progress") == ""
