from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.processes import (
    Died,
    Late,
    redirect_descriptors,
    run_in_processes,
)


def work(items: list[Any], limit: int, task: Callable[[Any], Any], patience: float = 0) -> dict[Any, Any]:
    answers: dict[Any, Any] = {}
    run_in_processes(items, limit, task, patience, answers.__setitem__)
    return answers


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def test_each_item_gets_a_process_of_its_own() -> None:
    answers = work([1, 2, 3], 2, lambda item: (item * 10, os.getpid()))

    assert [answers[item][0] for item in (1, 2, 3)] == [10, 20, 30]
    assert len({pid for _answer, pid in answers.values()} | {os.getpid()}) == 4


def test_what_one_does_to_its_process_stays_there() -> None:
    def pollute(item: int) -> str | None:
        before = os.environ.get("POLLUTED")
        os.environ["POLLUTED"] = str(item)
        sys.path.insert(0, "/polluted")
        return before

    assert work([1, 2], 1, pollute) == {1: None, 2: None}
    assert "POLLUTED" not in os.environ
    assert "/polluted" not in sys.path


def test_garbage_is_collected_in_it_though_it_was_not_where_it_was_forked() -> None:
    gc.disable()
    try:
        assert work([1], 1, lambda _item: gc.isenabled()) == {1: True}
    finally:
        gc.enable()


def test_never_more_at_once_than_the_limit(tmp_path: Path) -> None:
    def count(item: int) -> int:
        mine = tmp_path / str(item)
        mine.touch()
        time.sleep(0.1)
        found = len(list(tmp_path.iterdir()))
        mine.unlink()
        return found

    counts = work(list(range(6)), 2, count)

    assert max(counts.values()) == 2


def test_a_limit_of_none_still_works() -> None:
    assert work([1], 0, lambda item: item) == {1: 1}


def test_an_answer_larger_than_a_pipe_arrives() -> None:
    assert len(work([1], 1, lambda _item: "x" * 5_000_000)[1]) == 5_000_000


def test_one_that_dies_is_reported_by_its_signal_and_the_others_go_on() -> None:
    def die(item: int) -> int:
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if item == 2:
            os._exit(7)
        return item

    answers = work([1, 2, 3], 1, die)

    assert isinstance(answers[1], Died)
    assert "signal 9" in str(answers[1])
    assert "code 7" in str(answers[2])
    assert answers[3] == 3


def test_one_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    def hang(item: int) -> int:
        if item == 1:
            child = subprocess.Popen(["sleep", "300"])
            (tmp_path / "pid").write_text(str(child.pid))
            child.wait()
        return item

    begun = time.monotonic()
    answers = work([1, 2], 2, hang, patience=0.5)

    assert time.monotonic() - begun < 5
    assert isinstance(answers[1], Died)
    assert "0.5 s" in str(answers[1])
    assert answers[2] == 2
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def test_what_is_still_written_to_an_inherited_descriptor_reaches_nothing(tmp_path: Path) -> None:
    """A log's handler, say, that was opened before: no later file, a database for one, may get its words."""
    inherited = (tmp_path / "inherited").open("w", buffering=1)

    def write(_item: int) -> None:
        lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
        redirect_descriptors(lock)
        for number in range(5):
            os.open(tmp_path / f"later{number}", os.O_RDWR | os.O_CREAT)
        inherited.write("words\n")
        os.write(lock, b"kept")
        os._exit(7)

    answers = work([1], 1, write)

    assert "code 7" in str(answers[1])
    assert (tmp_path / "lock").read_text() == "kept"
    assert [path.read_text() for path in tmp_path.glob("later*")] == [""] * 5
    assert not (tmp_path / "inherited").read_text()


def test_at_the_end_of_all_time_what_runs_is_killed_and_no_more_is_begun(tmp_path: Path) -> None:
    answers: dict[str, Any] = {}

    def task(name: str) -> str:
        (tmp_path / name).touch()
        if name == "long":
            time.sleep(60)
        return name

    run_in_processes(["short", "long", "waiting"], 1, task, 0, answers.__setitem__, until=time.monotonic() + 1.5)

    assert answers["short"] == "short"
    assert isinstance(answers["long"], Late)
    assert isinstance(answers["waiting"], Late)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long", "short"]


def test_after_its_time_nothing_more_is_begun_and_what_runs_gives_its_answer() -> None:
    answers: dict[Any, Any] = {}

    def task(item: int) -> int:
        time.sleep(0.3)
        return item

    run_in_processes(range(50), 2, task, 0, answers.__setitem__, begin_until=time.monotonic() + 0.4)

    assert 2 <= len(answers) < 20
    assert list(answers) == list(answers.values())


def test_a_time_that_is_over_already_is_enough_for_the_first_ones() -> None:
    answers: dict[Any, Any] = {}

    run_in_processes([1, 2, 3], 2, lambda item: item, 0, answers.__setitem__, begin_until=time.monotonic() - 1)

    assert answers == {1: 1, 2: 2}
