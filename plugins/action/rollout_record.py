# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entering what a host has come to; the next gate reads it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import this_invocation

_RESULTS = ("packed", "plan", "upgrade", "downgrade", "rollback", "failure")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Leave a host's results where the gate finds them. No connection is made."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether the host was looked at as a whole, and whether it has its turn in its batch."""
        super().run(tmp, task_vars)
        results = {name: self._task.args.get(name) or {} for name in _RESULTS}
        host = (task_vars or {})["inventory_hostname"]
        invocation.share(self._task.args["part"], host, this_invocation().completed_in(results, host))
        looked = not results["failure"]
        return {"changed": False, "looked": looked, "has_turn": looked or bool(results["plan"].get("lost"))}
