from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils.commands import filled, missing_program, run_command
from ansible_collections.hosting.alembic.plugins.module_utils.errors import Failed


def test_placeholders_are_filled_in_and_other_braces_stay() -> None:
    command = filled(
        ["copy", "{path}", "to:{name}/{run}", "{other}", "{{path}}"], {"path": "/a b", "name": "n", "run": "r"}
    )

    assert command == ["copy", "/a b", "to:n/r", "{other}", "{/a b}"]


def test_a_value_is_a_word_and_never_read_by_a_shell(tmp_path: Path) -> None:
    run_command(["touch", "{path}"], {"path": f"{tmp_path}/a; touch b"}, {}, "it", "")

    assert [path.name for path in tmp_path.iterdir()] == ["a; touch b"]


def test_a_failure_says_what_the_command_said_but_for_its_secrets() -> None:
    with pytest.raises(Failed, match=r"It failed: sh ended with exit code 3: said \*{8}\. Look"):
        run_command(
            ["sh", "-c", "echo said $PGPASSWORD >&2; exit 3"], {}, {"PGPASSWORD": "m4rked"}, "It failed", "Look"
        )


def test_a_command_that_waits_for_an_answer_gets_none() -> None:
    with pytest.raises(Failed, match="it said nothing"):
        run_command(["sh", "-c", "read answer"], {}, {}, "It failed", "")


def test_a_program_that_is_not_there_is_named() -> None:
    (obstacle,) = missing_program(["/nowhere/rclone", "copyto"], "migrate_backup_copy_command")

    assert "/nowhere/rclone" in obstacle.what
    assert missing_program(["sh"], "it") == missing_program([], "it") == []
    with pytest.raises(Failed, match="No such file"):
        run_command(["/nowhere/rclone"], {}, {}, "It failed", "")
