# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run. What it says is put together in plugin_utils/reporting.py."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosting.alembic.plugins.plugin_utils import reporting

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]
    """Print the report of one host, and fail if there is something to fail for."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the printed lines."""
        super().run(tmp, task_vars)
        host = (task_vars or {}).get("inventory_hostname", "")
        report = reporting.report(self._task.args, self._task.check_mode)
        if report.failure:
            failure = reporting.meant_for(host, report.failure)
            return {"failed": True, "msg": "\n".join(["", *report.lines, "", *failure])}
        for line in [host, *report.lines]:
            display.display(f"  {line}" if line != host else line)
        return {"changed": False, "lines": report.lines}
