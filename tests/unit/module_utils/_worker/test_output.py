"""What processes print, and where it is found afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from ansible_collections.hosting.alembic.plugins.module_utils._worker.output import CleanedOutput
from tests.lab.waiting import wait_until


def clean_for(name: str) -> Callable[[str], str]:
    return lambda text: text.replace(f"secret-of-{name}", "***")


def printing(output: CleanedOutput, path: Path, name: str, work: Callable[[], object]) -> int:
    """Fork a process whose output goes to a file, and return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            output.take(path, name, clean_for)
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_each_process_has_a_file_and_secrets_of_its_own(tmp_path: Path) -> None:
    output = CleanedOutput()
    output.start(clean_for)

    def write_line() -> None:
        os.write(1, b"secret-of-a ")
        os.write(2, b"secret-of-b\n")

    for name in "ab":
        printing(output, tmp_path / name, name, write_line)
    output.close()

    wait_until(lambda: all((tmp_path / name).read_text().endswith("\n") for name in "ab"), "the output is there")
    assert (tmp_path / "a").read_text() == "*** secret-of-b\n"
    assert (tmp_path / "b").read_text() == "secret-of-a ***\n"


def test_what_was_reported_last_before_a_process_died_is_there(tmp_path: Path) -> None:
    output = CleanedOutput()
    output.start(clean_for)

    def dies() -> None:
        os.write(1, b"one\nits last words")
        os.kill(os.getpid(), signal.SIGKILL)

    assert printing(output, tmp_path / "a", "a", dies) == -signal.SIGKILL
    output.close()
    wait_until(lambda: (tmp_path / "a").read_text() == "one\nits last words", "the output is there")


def test_a_long_line_is_written_in_pieces_and_whole(tmp_path: Path) -> None:
    output = CleanedOutput()
    output.start(clean_for)
    length = 3_000_000

    def prints() -> None:
        rest = b"x" * length
        while rest:
            rest = rest[os.write(1, rest) :]

    printing(output, tmp_path / "a", "a", prints)
    output.close()
    wait_until(lambda: (tmp_path / "a").stat().st_size == length, "the output is there")


def test_a_full_disk_stops_no_program_from_printing(tmp_path: Path) -> None:
    output = CleanedOutput()
    output.start(clean_for)
    (tmp_path / "note").touch()

    def prints() -> None:
        for _ in range(3000):
            os.write(1, b"a line that is written nowhere, and nobody waits for that\n")
        (tmp_path / "note").write_text("done")

    printing(output, Path("/dev/full"), "a", prints)
    output.close()
    assert (tmp_path / "note").read_text() == "done"


def test_where_the_process_that_cleans_has_ended_another_one_is_started(tmp_path: Path) -> None:
    output = CleanedOutput()
    printing(output, tmp_path / "a", "a", lambda: os.write(1, b"secret-of-a\n"))
    wait_until(lambda: (tmp_path / "a").read_text().endswith("***\n"), "the output is there")
