# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the upgrade module: following it, and letting one host migrate what several share."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.hosting.alembic.plugins.plugin_utils import run
from ansible_collections.hosting.alembic.plugins.plugin_utils.clock import seconds_until
from ansible_collections.hosting.alembic.plugins.plugin_utils.following import FollowingAction, display

_LOOK_EVERY = 0.5  # seconds
_TELL_EVERY = 5  # seconds


class ActionModule(FollowingAction):
    """Upgrade a host's databases; those that an earlier host of the batch migrates are verified once it is done."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's last answer."""
        super().run(tmp, task_vars)
        facts = task_vars or {}
        host = facts["inventory_hostname"]
        migrators = self._migrators(facts)
        for migrator in sorted(set(migrators.values())):
            self._wait_for(migrator, host)
        try:
            return self.follow({**self._task.args, "verify_only": sorted(migrators)}, facts)
        finally:
            run.share(self._ended, host, True)

    def current(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Hand over what is left of the window at this very call, because the host's clock may differ."""
        deadline = arguments.get("deadline")
        return {**arguments, "time_left": seconds_until(deadline)} if deadline else arguments

    @property
    def _ended(self) -> str:
        """Name the mark that a host leaves when its upgrade has returned; each run has its own."""
        return f"upgraded-{self._task.args['run']}"

    def _migrators(self, facts: dict[str, Any]) -> dict[str, str]:
        """Return, for each database that an earlier host shares with this one, that host."""
        host = facts["inventory_hostname"]
        mine = run.shared("plans", host) or {}
        batch = facts.get("ansible_play_batch") or [host]
        earlier = batch[: batch.index(host)] if host in batch else []
        found: dict[str, str] = {}
        for other in reversed(earlier):
            identities = set((run.shared("plans", other) or {}).values())
            found.update({name: other for name, identity in mine.items() if identity in identities})
        return found

    def _wait_for(self, migrator: str, host: str) -> None:
        """Wait until a host's upgrade has returned; forks take hosts in order, so it has begun before this one."""
        begun = told = time.monotonic()
        while not run.shared(self._ended, migrator):
            if time.monotonic() - told > _TELL_EVERY:
                told = time.monotonic()
                seconds = f"{told - begun:.0f} s"
                display.display(f"  {host} | waits for {migrator}, which migrates a shared database ({seconds})")
            time.sleep(_LOOK_EVERY)
