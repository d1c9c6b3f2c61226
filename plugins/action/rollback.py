# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the rollback module: which run is the last one is a matter of the whole fleet."""

from __future__ import annotations

from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_playbook_command
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.action import FollowingAction
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import find_invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.shared_databases import Turns


class ActionModule(FollowingAction):
    """Roll back the run that is named, else the last one that changed anything on any host of the play."""

    FAILS_SHORT = True

    def perform(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's last answer."""
        named = self._task.args.get("of_run")
        if named and not self._is_known(named, task_vars):
            shown = f"This shows the last runs: {build_playbook_command('status')}"
            unknown = Refused(f"No host of this play knows run {named}", "", shown, code="run-unknown")
            message = find_invocation().complete_commands(str(unknown))
            facts_of_it = {"error": unknown.as_facts(), "of_run": named, "databases": []}
            return {"failed": True, "msg": message, "ok": False, **facts_of_it}
        of_run = named or self._find_last_change(task_vars)
        if self._task.check_mode:  # check mode waits for no other host
            return {**self.follow({**self._task.args, "of_run": of_run}, task_vars), "of_run": of_run}
        turns = Turns("reverts", of_run, task_vars)
        turns.begin()
        try:
            # The host that migrated a shared database comes last: those that only verified it have gone by then.
            for verifier in sorted(set(turns.list_sharing().values())):
                turns.wait_for(verifier)
            answer = self.follow({**self._task.args, "of_run": of_run}, task_vars)
        finally:
            turns.end()
        answer["of_run"] = of_run
        return answer

    @staticmethod
    def _is_known(named: str, facts: dict[str, Any]) -> bool:
        """Return whether any host knows a run; a typing mistake must not look like a rollback with nothing to do."""
        answers = [invocation.read_shared("runs_known", host) for host in facts["ansible_play_hosts_all"]]
        known = [answer for answer in answers if answer is not None]
        return not known or any(named in answer for answer in known)

    @staticmethod
    def _find_last_change(facts: dict[str, Any]) -> str:
        changes = [
            change
            for host in facts["ansible_play_hosts_all"]
            for change in invocation.read_shared("changes", host) or []
        ]
        return str(max(changes)[1]) if changes else ""
