from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.commands import (
    fill_placeholders,
    list_missing_program,
    run_command,
)
from tests.codes import failed


def test_placeholders_are_filled_in_and_other_braces_stay() -> None:
    command = fill_placeholders(
        ["copy", "{path}", "to:{name}/{run}", "{other}", "{{path}}"], {"path": "/a b", "name": "n", "run": "r"}
    )

    assert command == ["copy", "/a b", "to:n/r", "{other}", "{/a b}"]


def test_a_value_is_a_word_and_never_read_by_a_shell(tmp_path: Path) -> None:
    run_command(["touch", "{path}"], {"path": f"{tmp_path}/a; touch b"}, {}, "it", "")

    assert [path.name for path in tmp_path.iterdir()] == ["a; touch b"]


def test_a_failure_says_what_the_command_printed_but_for_its_secrets() -> None:
    with failed("command-failed", "sh", 3, "said ********", "Look"):
        run_command(
            ["sh", "-c", "echo said $PGPASSWORD >&2; exit 3"], {}, {"PGPASSWORD": "m4rked"}, "It failed", "Look"
        )


def test_a_command_that_waits_for_an_answer_gets_none() -> None:
    with failed("command-failed"):
        run_command(["sh", "-c", "read answer"], {}, {}, "It failed", "")


def test_a_program_that_is_not_there_is_named() -> None:
    (obstacle,) = list_missing_program(["/nowhere/rclone", "copyto"], "migrate_backup_copy_command")

    assert "/nowhere/rclone" in obstacle.what
    assert list_missing_program(["sh"], "it") == list_missing_program([], "it") == []
    with failed("command-failed", "No such file"):
        run_command(["/nowhere/rclone"], {}, {}, "It failed", "")


# Each ignores the polite signal, or leaves something running that would: nothing of either may stay.
@pytest.mark.parametrize("way", ["exec sleep 600", "sleep 600 & wait", "trap '' TERM; sleep 600 & sleep 600"])
def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("ansible_collections.hosting.alembic.plugins.module_utils._core.commands._TO_CLEAN_UP", 0.3)
    mark = f"MARK={tmp_path}"
    with failed("command-timeout", "env", "0.5 s", "waits for ********", "Look", "migrate_command_timeout"):
        run_command(["env", mark, "sh", "-c", f"echo waits for $PGPASSWORD; {way}"], {}, {"PGPASSWORD": "m4rked"},
                    "It failed", "Look", 0.5)  # fmt: skip

    deadline = time.monotonic() + 5
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.02)  # the killed ones are reaped by another process
    assert marked(mark) == []


def test_what_a_command_leaves_running_on_purpose_is_not_waited_for() -> None:
    begun = time.monotonic()
    run_command(["sh", "-c", "sleep 3 & true"], {}, {}, "It failed", "Look", 60)

    assert time.monotonic() - begun < 2


def marked(mark: str) -> list[str]:
    """Return the processes that have a variable in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found
