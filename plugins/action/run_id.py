# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Naming a run that packs nothing."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import check_run_id
from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.role_variables import (
    build_refusal,
    list_all_problems,
)
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import selected
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.failing import FailedOnce
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.invocation import run_id


class ActionModule(ActionBase):  # type: ignore[misc]
    """Return the run's id."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the same id to every host."""
        super().run(tmp, task_vars)
        wrong = list(list_all_problems(task_vars or {}, self._templar.template))
        if wrong:
            raise build_refusal(wrong, (task_vars or {}).get("inventory_hostname", ""))
        self._note_databases(task_vars or {})
        try:
            return {"changed": False, "run": self._run_id(task_vars or {})}
        except Refused as error:
            raise FailedOnce(str(error)) from None

    def _note_databases(self, facts: dict[str, Any]) -> None:
        """Leave which databases this host lists, so that what no host has is known before any begins."""
        select, databases, sources = (
            self._templar.template(facts.get(f"migrate_{name}")) for name in ("only", "databases", "discover")
        )
        host = facts.get("inventory_hostname", "")
        selected.note_listed(host, select, databases or [], has_sources=bool(sources))

    def _run_id(self, facts: dict[str, Any]) -> str:
        return check_run_id(run_id(self._task.args.get("run", ""), facts.get("inventory_hostname", "")))
