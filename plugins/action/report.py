# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run. What it says is put together in plugin_utils/_report/report.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosting.alembic.plugins.plugin_utils._report import report as reporting
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.grouping import View
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.tally import tally
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation, selected
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import find_invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.details import describe_where, keep_details
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.failing import FailedOnce
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.screen import show

display = Display()

#: So many lines are printed for each host although they are those of another one.
_MOST_REPEATED = 2


class ActionModule(ActionBase):  # type: ignore[misc]
    """Print the report of one host, and fail if there is something to fail for."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the printed lines."""
        super().run(tmp, task_vars)
        facts = task_vars or {}
        host, hosts = facts.get("inventory_hostname", ""), facts.get("ansible_play_hosts_all") or [""]
        first_on = partial(invocation.find_first_before, host=host)
        shows_all = display.verbosity > 0
        view = View(bool(self._task.check_mode), shows_all, len(hosts))
        view = view if shows_all else replace(view, first_on=first_on)
        report = reporting.report(self._task.args, view)
        total = _describe_total(self._task._uuid, host, facts.get("ansible_play_hosts") or [], hosts, report.kinds)
        batch = _find_batch(self._task._uuid, host, facts.get("ansible_play_batch") or [])
        is_joint = bool(self._task.args.get("joint")) and len(batch) > 1
        every: list[str] = []
        if is_joint:
            printed = report.below
            every = self._render_joint(batch, host, view)
            show(every)
            total = [] if {*batch} >= {*(facts.get("ansible_play_hosts") or [])} else total
        else:
            printed = [*report.lines, *self._keep_where(host, view, report.lines), *filter(None, [report.tally])]
        lines = _complete_lines(printed, host, self._task.args)
        failure = _complete_lines(report.failure, host, self._task.args)
        failure = failure or str(self._task.args.get("failure") or "").splitlines()
        failure = failure or selected.explain_unmatched(host, hosts).splitlines()
        if failure and self._task.args.get("summarised"):
            # The gate reads it, the last play fails the host, and the summary says why: here it would be a repetition.
            invocation.share_facts("ended", host, {"failure": "\n".join(failure)})
            return {"changed": False, "lines": failure}
        if failure:
            first = host if _has_databases(self._task.args) else first_on("\n".join(failure)) or host
            failure = failure if first == host else [f"The same as on {first}."]
            raise FailedOnce("\n".join([*lines, *([""] if lines else []), *failure, *total]))
        first = first_on("\n".join(lines)) if len(lines) > _MOST_REPEATED and not view.shows_all else ""
        # The result has all of it in any case.
        if first:
            show([f"{host}: the same as on {first}"])
        elif lines:
            show([host, *(f"  {line}" for line in lines)])
        show(total)
        own = [*report.table, *lines] if is_joint else lines
        return {"changed": False, "lines": [*own, *total], **({"joint": every} if every else {})}

    def _render_joint(self, hosts: list[str], host: str, view: View) -> list[str]:
        """Return the table of all hosts of a batch and their total, for the last one that reports; else nothing."""
        task = f"{self._task._uuid}-{hashlib.sha256(json.dumps(hosts).encode()).hexdigest()}"
        invocation.share_facts(f"results-{task}", host, self._read_results())
        found = {name: invocation.read_shared(f"results-{task}", name) for name in hosts}
        if None in found.values() or invocation.find_first_with(f"joint {task}", host) != host:
            return []
        every = View(view.check_mode, view.shows_all, completed=partial(_complete_commands, hosts), names_hosts=True)
        made = reporting.render_joint(found, every)
        count = len(hosts) - len(made.without)
        total = [f"{count} hosts, {tally(made.kinds)}"] if made.kinds and count else []
        return [*made.table, *self._keep_where(host, every, made.table, found), *total]

    def _keep_where(
        self, host: str, view: View, lines: list[str], of_hosts: dict[str, dict[str, Any]] | None = None
    ) -> list[str]:
        """Keep what is known of each database where it is not printed, and return the line that says where."""
        found = self._read_results()
        is_grouped = reporting.is_grouped(found if of_hosts is None else reporting.merge_results(of_hosts), view)
        # One line says all there is: nothing is retained, no run has left anything.
        if self._task.args.get("summarised") or len(lines) < 2 or not is_grouped:
            return []
        folder = "" if view.check_mode else self._task.args.get("manifests") or ""
        name = "-".join(found) if of_hosts else f"{'-'.join(found)}-{host}"
        return [describe_where(keep_details(folder, invocation.run_of(host), name, of_hosts or found))]

    def _read_results(self) -> dict[str, Any]:
        """Return the results that are reported, by verb."""
        return {name: value for name, value in self._task.args.items() if isinstance(value, dict) and value}


def _find_batch(task: str, host: str, batch: list[str]) -> list[str]:
    """Return the hosts that report together, as the first of them has found them.

    A host whose report fails is in no batch from then on, and another one may begin its report only after that.
    """
    with invocation.hold_lock("batches"):
        known = invocation.read_shared("batches", task) or []
        found = next((each for each in known if host in each), None)
        if found is None:
            invocation.share_facts("batches", task, [*known, batch])
    return batch if found is None else list(found)


def _complete_commands(every: list[str], line: str, hosts: Sequence[str]) -> str:
    """Return a line whose commands are for some hosts of all."""
    return find_invocation().complete_commands(line, "" if {*hosts} >= {*every} else ",".join(hosts))


def _has_databases(results: dict[str, Any]) -> bool:
    """Return whether a host has databases to report, each cause of which names the host that has printed it."""
    return any(isinstance(result, dict) and result.get("databases") for result in results.values())


def _describe_total(task: str, host: str, left: list[str], hosts: list[str], kinds: list[str] | None) -> list[str]:
    """Return the last line of all hosts together, for the last host that reports; else nothing.

    Args:
        task: the same on each host, and another one where a playbook reports again.
        host: the one that reports.
        left: those that have not failed and were not lost; one whose report has failed is not among them any more.
        hosts: all hosts.
        kinds: a word for each database of this host; nothing where its report has no last line.
    """
    if len(hosts) < 2:
        return []
    invocation.share_facts(f"kinds-{task}", host, {"kinds": kinds})
    found = {each: invocation.read_shared(f"kinds-{task}", each) for each in hosts}
    if None in [found[each] for each in left] or invocation.find_first_with(f"total {task}", host) != host:
        return []
    counted = [each["kinds"] for each in found.values() if each is not None and each["kinds"] is not None]
    return [f"{len(counted)} hosts, {tally(kind for each in counted for kind in each)}"] if len(counted) > 1 else []


def _complete_lines(lines: list[str], host: str, results: dict[str, Any]) -> list[str]:
    """Return lines whose commands are for this host alone: names and runs may be the same on others."""
    invocation = find_invocation()
    migrates = bool(results.get("upgrade") or results.get("downgrade"))
    return [invocation.complete_commands(line, host, migrates=migrates) for line in lines] + invocation.note(lines)
