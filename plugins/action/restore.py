# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the restore module: a backup that no host of the play has is a mistake."""

from __future__ import annotations

from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_playbook_command
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.action import FollowingAction
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import find_invocation


class ActionModule(FollowingAction):
    """Follow the restore to its end. Where only names are wanted, leave for the other hosts how many there are."""

    FAILS_SHORT = True

    def perform(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's last answer."""
        found = [invocation.read_shared("restorable", host) for host in task_vars["ansible_play_hosts_all"]]
        if not any(count is None or count for count in found):
            return _make_failure("No host of this play has such a backup")
        answer = self.follow(self._task.args, task_vars)
        host = task_vars["inventory_hostname"]
        if answer.get("failed"):
            return answer
        names = [entry["name"] for entry in answer["databases"]]
        if self._task.args.get("names_only"):
            invocation.share_facts("restorable", host, names)
            return answer
        gone = [name for name in invocation.read_shared("restorable", host) or () if name not in names]
        if gone:
            failure = _make_failure(f"Backups that were found a moment ago are not there any more: {', '.join(gone)}")
            return {**answer, **failure, "databases": answer["databases"]}
        return answer


def _make_failure(what: str) -> dict[str, Any]:
    nowhere = Refused(
        what,
        "no backup is of the run, lies at the path and belongs to the databases that were named",
        f"This shows the last ones: {build_playbook_command('status')}",
        code="backup-not-found",
    )
    message = find_invocation().complete_commands(str(nowhere))
    return {"failed": True, "msg": message, "error": nowhere.as_facts(), "databases": [], "ok": False}
