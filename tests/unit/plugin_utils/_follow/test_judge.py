"""What counts as a success, by what an answer holds."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.judge import judge_answer, with_message
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.results import has_failed

FOLLOWED = ["backup", "downgrade", "recover", "rehearse", "restore", "rollback", "upgrade"]
EVERY = [*FOLLOWED, "backups_info", "health", "maintenance", "plan_info", "prune", "release", "status_info"]


@pytest.mark.parametrize("module", EVERY)
@pytest.mark.parametrize(
    "answer",
    [
        {"failed": True, "exception": "Traceback"},  # as ansible-core returns a module that raises
        {"changed": False},
        {"changed": False, "databases": "all", "finished": "yes", "done": "", "needs": None},
        {},
    ],
)
def test_what_lacks_its_keys_is_a_failure_with_a_message(module: str, answer: dict[str, Any]) -> None:
    found = judge_answer(f"hosting.alembic.{module}", answer)

    assert (found["failed"], found["ok"], found["finished"], found["databases"]) == (True, False, True, [])
    assert module in found["msg"]
    assert found["code"] == "module-crashed"
    # A task's failed_when overwrites what the answer says of itself.
    assert has_failed({**found, "failed": False})


@pytest.mark.parametrize("module", FOLLOWED)
def test_a_complete_answer_is_a_success(module: str) -> None:
    answer = {"changed": True, "databases": [{"name": "app"}], "finished": True}
    assert judge_answer(f"hosting.alembic.{module}", answer) == {**answer, "ok": True}


def test_a_failure_of_the_modules_own_keeps_its_words() -> None:
    answer = {"failed": True, "msg": "app: held", "databases": [{"name": "app"}], "finished": True, "changed": True}
    assert judge_answer("upgrade", answer) == {**answer, "ok": False}


def test_a_python_that_does_not_start_is_reported_in_the_words_of_the_shell() -> None:
    words = "/bin/sh: 1: /opt/python: not found\n"
    answer = {
        "failed": True,
        "msg": "No start of json char found",
        "rc": 127,
        "module_stdout": "",
        "module_stderr": words,
    }

    found = judge_answer("plan_info", with_message("plan_info", answer))

    assert found["code"] == "interpreter-not-started"
    assert words.strip() in found["msg"]
    assert "ansible_python_interpreter" in found["msg"]
