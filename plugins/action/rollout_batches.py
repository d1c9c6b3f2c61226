# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting the hosts of a run into batches, once all of them were looked at."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import batches, contract, decide, manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import Host, Manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import this_invocation


class ActionModule(ActionBase):  # type: ignore[misc]
    """Decide who goes when, and write the manifest. No connection is made."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the batches, or why nothing is begun."""
        super().run(tmp, task_vars)
        facts = task_vars or {}
        options = self._task.args
        try:
            limits = batches.limits(options.get("max_failures", 0))
            made = self._made(facts, options)
            asked, folder = facts["ansible_play_hosts_all"], options.get("manifests") or ""
            made.why = contract.why_refused(made, asked, options.get("fleet") or [], folder)
            made.why = made.why or decide.why_not_begun(made, limits, options.get("on_failure", "stop"))
            made.why = this_invocation().completed(made.why, migrates=True)
            if made.why:
                made.state = "stopped"
            _begin_next(made)
            manifest.keep(made, "" if self._task.check_mode or not made.run else folder)
        except Refused as refusal:
            return {"failed": True, "msg": f"Nothing was begun. {refusal}"}
        return {"changed": False, "run": made.run, "batches": made.batches, "why": made.why}

    def _made(self, facts: dict[str, Any], options: dict[str, Any]) -> Manifest:
        hosts = {name: _looked_at(name) for name in facts["ansible_play_hosts_all"]}
        run_id = options.get("run") or next((host.run for host in hosts.values() if host.run), "")
        folder = options.get("manifests") or ""
        earlier = manifest.read(manifest.place(folder, run_id)) if folder and run_id else None
        made = earlier or Manifest(run_id)
        made.state, made.why, made.ended, made.leads_back = "begun", "", 0, False
        made.target = options.get("target", "head")
        for name, host in hosts.items():
            host.begun = made.hosts[name].begun if name in made.hosts else 0
        # Hosts of an earlier part that this one does not reach stay in it as they were.
        made.hosts = {**made.hosts, **hosts}
        todo = [name for name, host in hosts.items() if host.state in ("waiting", "failed", "lost")]
        made.batches = batches.batches(todo, options.get("rollout", [1, "25%", "100%"]), _canary(facts, options))
        for number, names in enumerate(made.batches, 1):
            for name in names:
                made.hosts[name].batch = number
        return made


def _begin_next(made: Manifest) -> None:
    """Note that the next batch begins, before it does: what follows a crash must know."""
    if made.why or made.ended >= len(made.batches):
        return
    for name in made.batches[made.ended]:
        made.hosts[name].begun += 1


def _looked_at(name: str) -> Host:
    results = invocation.taken("looked", name)
    return Host(state="lost", why="it did not answer") if results is None else decide.looked_at(results)


def _canary(facts: dict[str, Any], options: dict[str, Any]) -> list[str] | None:
    group = options.get("canary") or ""
    if not group:
        return None
    if group not in facts["groups"]:
        raise Refused(
            f"There is no group {group!r} in the inventory",
            "migrate_rollout_canary names it",
            "Name a group, or leave it empty for a canary of one host",
            code="group-unknown",
        )
    return list(facts["groups"][group])
