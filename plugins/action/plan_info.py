# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the plan module: what a host plans is known to the others, so that one of them migrates."""

from __future__ import annotations

from functools import partial
from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.action import (
    FollowingAction,
    display,
    make_lost_result,
)
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.parts import call_in_parts
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.causes import list_cause_lines
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.grouping import View
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import find_invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.failing import keep_whole

_STOPPED = "Nothing was changed, because migrate_on_refusal is stop:"


class ActionModule(FollowingAction):
    """Plan, and leave which databases the host has something to do with."""

    # Else Ansible makes a temporary folder on the host before it is known whether anything is to be sent.
    TRANSFERS_FILES = False

    def perform(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's answer."""
        answer = self._plan_host(task_vars)
        shareable = [entry for entry in answer.get("databases", []) if entry["pending"] and entry["can_be_shared"]]
        invocation.share_facts(
            "plans",
            task_vars["inventory_hostname"],
            {entry["name"]: entry.get("instance") or entry["identity"] for entry in shareable},
        )
        refusals = _list_refusals(answer, task_vars["inventory_hostname"])
        if self._task.args.get("on_refusal") == "stop" and refusals:
            refused = {"failed": True, "ok": False, "msg": "\n".join([_STOPPED, *refusals])}
            raise keep_whole("plan", task_vars["inventory_hostname"], {**answer, **refused})
        if self._task.args.get("run"):  # the report of a plan by itself says the same
            _warn(answer, task_vars["inventory_hostname"])
        return answer

    def _plan_host(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Plan; in check mode send what is not there, so that the prediction is exact."""
        arguments, local = self.split_archives()
        answer = call_in_parts(lambda part: self.call(part, facts), arguments, self.build_progress(facts), "planned")
        if not self._task.check_mode or answer.get("shipped", True) or not local["archive"]:
            return answer
        try:
            with self.send_archives(local) as sent:
                return self.call({**arguments, **sent}, facts)
        except AnsibleConnectionFailure as error:
            return make_lost_result(error.message)


def _build_view() -> View:
    return View(shows_all=display.verbosity > 0)


def _list_obstacles(answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(entry["name"], obstacle) for entry in answer.get("databases", []) for obstacle in entry["obstacles"]]


def _list_refusals(answer: dict[str, Any], host: str) -> list[str]:
    """Return what is refused, each cause once."""
    return [
        find_invocation().complete_commands(line, host)
        for line in _build_view().limit_lines(list_cause_lines(_list_obstacles(answer)))
    ]


def _warn(answer: dict[str, Any], host: str) -> None:
    """Print what is refused before anything is changed, while a person can still decide; on one of several hosts."""
    causes, view = [*_list_obstacles(answer), *_list_unrestorable(answer)], _build_view()
    for line in view.limit_lines(list_cause_lines(causes, partial(invocation.find_first_before, host=host), view.most)):
        display.warning(f"{host}: {find_invocation().complete_commands(line, host)}")


def _list_unrestorable(answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return why databases could not be restored if they had to be."""
    return [
        (entry["name"], entry["restore"]["obstacle"])
        for entry in answer.get("databases", [])
        if not entry["obstacles"] and (entry.get("restore") or {}).get("obstacle")
    ]
