# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate behind each batch: it takes down how the batch has ended, and opens for the next one or does not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import batches, decide, manifest, window_fit
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import Manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation, results
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.command_line import find_invocation
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.failing import FailedOnce
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.screen import show
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.permit import count_seconds_until

display = Display()


_REPORT_EVERY = 60  # seconds


class ActionModule(ActionBase):  # type: ignore[misc]
    """Decide whether the next batch begins. No connection is made."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether the gate is open, and why not."""
        super().run(tmp, task_vars)
        options = self._task.args
        found = manifest.read_current()
        if found is None:
            raise FailedOnce("There is no rollout: hosting.alembic.preflight begins one.")
        folder = "" if self._task.check_mode else options.get("manifests") or ""
        checked_again = boolean(options.get("soaked", False))
        try:
            if checked_again:
                self._take_down_again(found)
            else:
                still_there = (task_vars or {})["ansible_play_hosts"]
                self._take_down(found, still_there, str(options.get("on_deferred") or "accept"))
            found.why = decide.explain_stop(found, batches.parse_limits(options.get("max_failures", 0)))
            if found.why:
                found.rolls_back = options.get("on_failure", "stop") == "rollback" and not self._task.check_mode
            manifest.keep(found, folder)  # a soak may be long, and the controller may not outlive it
            again = self._wait_for_next_batch(found, options, task_vars or {}, checked_again)
            opens = found.ended < len(found.batches) and not found.why and not again
            if not again:
                found.state = "stopped" if found.why else "begun" if opens else "done"
            if opens:
                for name in found.batches[found.ended]:
                    found.hosts[name].begun += 1
            manifest.keep(found, folder)
        except Refused as refusal:
            raise FailedOnce(str(refusal)) from None
        return {
            "changed": False,
            "open": opens,
            "why": found.why,
            "again": again,
            "next": decide.describe_next_batch(found),
        }

    def _wait_for_next_batch(self, found: Manifest, options: Result, facts: Result, checked_again: bool) -> list[str]:
        """Wait and prompt where another batch is to begin; return the hosts whose health counts before that, if any."""
        if found.ended == len(found.batches) or found.why or self._task.check_mode:
            return []
        again = [] if checked_again else self._wait_for_soak(found, options, facts)
        if not again and not found.why:
            found.why = self._confirm(found, options, facts)
        return again

    @staticmethod
    def _take_down(found: Manifest, still_there: Sequence[str], on_deferred: str) -> None:
        """Record in the manifest how each host of the batch has ended; one that Ansible has given up is lost."""
        for name in found.batches[found.ended]:
            recorded = invocation.take_shared("ended", name)
            if recorded is None and found.hosts[name].state == "failed":
                continue  # it failed at the plan, and had no turn
            host = find_invocation().complete_all({**results.of_host(name), **(recorded or {})}, name)
            failure = decide.find_failure(host, on_deferred, is_lost=name not in still_there)
            decide.has_ended(found.hosts[name], {**host, "failure": failure})
        found.ended += 1

    @staticmethod
    def _take_down_again(found: Manifest) -> None:
        """Record in the manifest the health checks after the soak; a host without an answer has failed."""
        for name in found.batches[found.ended - 1]:
            if not found.hosts[name].is_bad:
                decide.note_checked_again(found.hosts[name], invocation.take_shared("soaked", name))

    @staticmethod
    def _wait_for_soak(found: Manifest, options: Result, facts: Result) -> list[str]:
        """Wait, and return the hosts to check again; where the window is too short for it, note that and do not."""
        seconds = float(options.get("soak") or 0)
        found.why = _explain_too_late(found, options, facts, seconds)
        if seconds <= 0 or found.why:
            return []
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            show([f"  batch {found.ended + 1} of {len(found.batches)} begins in {left:.0f} s"])
            time.sleep(min(left, _REPORT_EVERY))
        return [name for name in found.batches[found.ended - 1] if not found.hosts[name].is_bad]

    def _confirm(self, found: Manifest, options: Result, facts: Result) -> str:
        """Prompt, where migrate_rollout_confirm requires it; return why the next batch does not begin, or nothing."""
        why = self._prompt(found) if boolean(options.get("confirm", False)) else ""
        # The prompt may have taken long.
        return why or _explain_too_late(found, options, facts)

    @staticmethod
    def _prompt(found: Manifest) -> str:
        question = "\n".join([*decide.describe_next_batch(found), "Type yes to go on, anything else to stop: "])
        try:
            answer = display.prompt_until(question)
        except AnsiblePromptInterrupt:
            return "a person interrupted the question"
        except AnsiblePromptNoninteractive:
            return "migrate_rollout_confirm needs an answer, and there is no terminal to prompt at"
        answered = answer.decode(errors="replace").strip()
        return (
            "" if answered.lower() == "yes" else f"a person answered {answered!r} to whether the next batch is to begin"
        )


def _explain_too_late(found: Manifest, options: Result, facts: Result, soak: float = 0) -> str:
    """Return why the window is too short for the next batch, or nothing."""
    deadline = options.get("deadline") or ""
    if not deadline:
        return ""
    pace = window_fit.Pace(
        margin=float(options.get("window_margin") or 0),
        workers=int(options.get("workers") or 1),
        forks=int(facts.get("ansible_forks") or 1),
        leaves_some=options.get("on_deferred") == "accept",
    )
    why = window_fit.explain_misfit(found, count_seconds_until(deadline) - soak, pace)
    return f"the window closes at {deadline}: {why}" if why else ""
