# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the status module: each host's last change is known to a rollback of the fleet."""

from __future__ import annotations

from typing import Any

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.action import FollowingAction
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.parts import call_in_parts
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation


class ActionModule(FollowingAction):
    """Read the status, and leave out the host's last change."""

    def perform(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's answer."""
        answer = call_in_parts(
            lambda part: self.call(part, task_vars), self._task.args, self.build_progress(task_vars), "read"
        )
        changes = [entry["last_change"] for entry in answer.get("databases", []) if entry["last_change"]]
        invocation.share_facts(
            "changes", task_vars["inventory_hostname"], [[change["at"], change["run"]] for change in changes]
        )
        invocation.share_facts("runs_known", task_vars["inventory_hostname"], answer.get("runs", []))
        return answer
