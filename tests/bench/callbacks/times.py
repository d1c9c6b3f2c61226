"""Writes how long each task took on its slowest host, from its start to its result, as seen by the controller."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: times
type: aggregate
short_description: writes how long each task took
description: For the benchmarks. The file is named by HOSTING_ALEMBIC_TIMES.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Collect the times and write them at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._begun: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Hear that a task begins on a host."""
        self._begun.setdefault(task._uuid, time.monotonic())

    def v2_runner_on_ok(self, result: Any) -> None:
        """Hear that a task has ended on a host."""
        task = result._task
        self._seconds[task.get_name()] = time.monotonic() - self._begun[task._uuid]

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the times."""
        Path(os.environ["HOSTING_ALEMBIC_TIMES"]).write_text(json.dumps(self._seconds))
