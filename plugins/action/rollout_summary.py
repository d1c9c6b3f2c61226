# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict over a run: said once, and failed with by every host that is not where it should be."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import decide, manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import Manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation as run
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import this_invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.failing import FailedOnce
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.screen import is_read_by_people, show


class ActionModule(ActionBase):  # type: ignore[misc]
    """Say how a run has ended. No connection is made."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the lines; fail if this host is to blame, or was not reached by what others failed with."""
        super().run(tmp, task_vars)
        facts = task_vars or {}
        folder = "" if self._task.check_mode else self._task.args.get("manifests") or ""
        name = facts["inventory_hostname"]
        try:
            with run.alone("verdict"):
                found = self._settled(folder)
                # Whoever comes first says it: a host that Ansible has given up for lost does not come at all.
                saying = f"said-{found.run}-{found.began}"
                is_first = run.shared(saying, "") is None
                run.share(saying, "", True)
        except Refused as refusal:
            return {"failed": True, "msg": str(refusal)}
        where = str(manifest.place(folder, found.run)) if folder and found.run else ""
        invocation = this_invocation()
        lines = decide.summary(found, where, check_mode=self._task.check_mode)
        lines = [invocation.completed(line, migrates=True) for line in lines] + invocation.note(lines)
        if is_first:
            show(["", *lines])
        charge = decide.charge(found.hosts[name], found, check_mode=self._task.check_mode)
        if charge:
            raise FailedOnce(f"{name}: {charge}", {} if is_read_by_people() else {"lines": lines})
        return {"lines": lines}

    @staticmethod
    def _settled(folder: str) -> Manifest:
        """Take down what was led back, and write the manifest for the last time."""
        found = manifest.current() or Manifest("")
        if not found.leads_back or found.state == "rolled_back":
            return found
        for name in [name for batch in found.to_lead_back for name in batch]:
            results = run.taken("led_back", name)
            if results is None:
                found.hosts[name].state, found.hosts[name].why = "not_led_back", "it was lost before it was rolled back"
            else:
                decide.was_led_back(found.hosts[name], results)
        found.state = "rolled_back"
        manifest.keep(found, folder)
        return found
