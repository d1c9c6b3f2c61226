# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The summary of a run, and the failure of every host that is not where it should be."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.grouping import View
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import decide, manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import Manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.summary import render_summary
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation as run
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import results
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import find_invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.details import keep_details
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.failing import FailedOnce
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.screen import show

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]
    """Say how a run has ended. No connection is made."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the lines; or fail if this host is to blame, or was not reached by what others failed with."""
        super().run(tmp, task_vars)
        folder = "" if self._task.check_mode else self._task.args.get("manifests") or ""
        try:
            with run.hold_lock("summary"):
                found = self._finish_rollback(folder)
        except Refused as refusal:
            raise FailedOnce(str(refusal)) from None
        if self._task.args.get("part") == "failure":
            return self._fail_host(found, (task_vars or {})["inventory_hostname"])
        where = str(manifest.locate_manifest(folder, found.run)) if folder and found.run else ""
        invocation = find_invocation()

        def read_completed(host: str) -> dict[str, Any]:
            kept = results.of_host(host)
            return dict(invocation.complete_all(kept, host)) if found.hosts[host].is_bad else kept

        view = View(check_mode=bool(self._task.check_mode), shows_all=display.verbosity > 0)
        details = self._keep_details(found, folder) if view.needs_groups(found.count) else ""
        lines = render_summary(
            found, where, read_completed, view=view, details=details, completed=invocation.complete_commands
        )
        lines = [invocation.complete_commands(line, migrates=True) for line in lines]
        lines[-1:-1] = invocation.note(lines)
        show(["", *lines])
        return {"changed": False, "lines": lines, "run": found.run, "batches": found.batches}

    @staticmethod
    def _keep_details(found: Manifest, folder: str) -> str:
        """Keep what is known of each database of each host, and return where."""
        known = {name: {**results.of_host(name), "packed": None} for name in found.hosts}
        return keep_details(folder, found.run, "databases", {"hosts": known}) if found.run else ""

    def _fail_host(self, found: Manifest, name: str) -> dict[str, Any]:
        failure_message = decide.describe_failure(found.hosts[name], found, check_mode=self._task.check_mode)
        if failure_message:
            raise FailedOnce(f"{name}: {failure_message}")
        return {"changed": False}

    @staticmethod
    def _finish_rollback(folder: str) -> Manifest:
        """Record which hosts were rolled back, and write the manifest for the last time."""
        found = manifest.read_current() or Manifest("")
        if not found.rolls_back or found.state == "rolled_back":
            return found
        for name in [name for batch in found.to_roll_back for name in batch]:
            recorded = run.take_shared("rolled_back", name)
            if recorded is None:
                found.hosts[name].state, found.hosts[name].why = (
                    "not_rolled_back",
                    "it was lost before it was rolled back",
                )
            else:
                host = find_invocation().complete_all({**results.of_host(name), **recorded}, name)
                decide.note_rolled_back(found.hosts[name], host)
        found.state = "rolled_back"
        manifest.keep(found, folder)
        return found
