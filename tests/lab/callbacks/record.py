"""An Ansible callback that writes every result as a line of JSON, so that tests need not read what people read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.parsing.ajson import AnsibleJSONEncoder
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: notification
short_description: Writes every result as a line of JSON
description: For the tests, which read the file named by E(HOSTING_ALEMBIC_RECORD).
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, kind: str, **facts: Any) -> None:
        with Path(os.environ["HOSTING_ALEMBIC_RECORD"]).open("a") as file:
            file.write(json.dumps({"kind": kind, **facts}, cls=AnsibleJSONEncoder) + "\n")

    def _result(self, kind: str, result: Any) -> None:
        facts = {name: value for name, value in result._result.items() if name != "invocation"}
        self._write(kind, host=result._host.get_name(), task=result._task.get_name(), result=facts)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._result("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result("unreachable", result)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._write("handler", task=task.get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write("stats", hosts={host: stats.summarize(host) for host in stats.processed})
