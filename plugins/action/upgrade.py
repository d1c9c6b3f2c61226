# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the upgrade module: following it, and letting one host migrate what several share."""

from __future__ import annotations

from typing import Any

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.action import FollowingAction
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.shared_databases import Turns
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.permit import count_seconds_until


class ActionModule(FollowingAction):
    """Upgrade a host's databases; those that an earlier host of the batch migrates are verified once it is done."""

    FAILS_SHORT = True

    def perform(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's last answer."""
        turns = Turns("migrates", self._task.args["run"], task_vars)
        turns.begin()
        try:
            migrators = turns.list_sharing()
            came = {migrator: turns.wait_for(migrator) for migrator in sorted(set(migrators.values()))}
            verified = sorted(name for name, migrator in migrators.items() if came[migrator])
            return self.follow({**self._task.args, "verify_only": verified}, task_vars)
        finally:
            turns.end()

    def count_databases(self) -> int:
        """Return how many databases the hosts of all batches have."""
        found = manifest.read_current()
        return sum(len(found.hosts[name].databases) for name in found.order) if found else 0

    def update_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Hand over what is left of the window at this very call, because the host's clock may differ."""
        deadline = arguments.get("deadline")
        return {**arguments, "time_left": count_seconds_until(deadline)} if deadline else arguments
