# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recording what a host has failed with, or that it did not; the next gate reads it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import begin
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation


class ActionModule(ActionBase):  # type: ignore[misc]
    """Leave a host's failure where the gate finds it. No connection is made."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what was recorded."""
        super().run(tmp, task_vars)
        part, failure = self._task.args["part"], str(self._task.args.get("failure") or "").strip()
        facts = task_vars or {}
        invocation.share_facts(part, facts["inventory_hostname"], {"failure": failure})
        if part == "planned":
            # Preflight did not run where an option of it has no value, and the rollout must fail all the same.
            begin.announce({}, facts["ansible_play_hosts_all"], check_mode=self._task.check_mode)
        return {"changed": False, "part": part}
