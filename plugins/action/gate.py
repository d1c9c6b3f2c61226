# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate behind each batch: it takes down how the batch has ended, and opens for the next one or does not."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosting.alembic.plugins.module_utils.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils import batches, manifest, rollout, run
from ansible_collections.hosting.alembic.plugins.plugin_utils.clock import seconds_until
from ansible_collections.hosting.alembic.plugins.plugin_utils.manifest import Manifest

display = Display()

_TELL_EVERY = 60  # seconds


class ActionModule(ActionBase):  # type: ignore[misc]
    """Decide whether the next batch begins. No connection is made."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether the gate is open, and why not."""
        super().run(tmp, task_vars)
        options = self._task.args
        found = manifest.current()
        if found is None:
            return {"failed": True, "msg": "There is no rollout: hosting.alembic.batches makes one."}
        folder = "" if self._task.check_mode else options.get("manifests") or ""
        try:
            self._take_down(found)
            found.why = rollout.why_stopped(found, batches.limits(options.get("max_failures", 0)))
            if found.why:
                found.leads_back = options.get("on_failure", "stop") == "rollback" and not self._task.check_mode
            manifest.keep(found, folder)  # a soak may be long, and the controller may not outlive it
            more = found.ended < len(found.batches)
            if more and not found.why and not self._task.check_mode:
                found.why = self._patience(found, options)
            found.state = "stopped" if found.why else "begun" if more else "done"
            if more and not found.why:
                for name in found.batches[found.ended]:
                    found.hosts[name].begun += 1
            manifest.keep(found, folder)
        except Refused as refusal:
            return {"failed": True, "msg": str(refusal)}
        return {"changed": False, "open": more and not found.why, "why": found.why, "next": rollout.coming(found)}

    @staticmethod
    def _take_down(found: Manifest) -> None:
        """Enter into the manifest what each host of the batch has left; one that left nothing was lost."""
        for name in found.batches[found.ended]:
            results = run.taken("ended", name)
            if results is None:
                found.hosts[name].state, found.hosts[name].why = "lost", "it was lost on the way, and nothing is known"
            else:
                rollout.has_ended(found.hosts[name], results)
        found.ended += 1

    def _patience(self, found: Manifest, options: dict[str, Any]) -> str:
        """Wait, and ask; return why the next batch does not begin, or nothing."""
        deadline = options.get("deadline") or ""
        soak = float(options.get("soak") or 0)
        if deadline and seconds_until(deadline) <= soak:
            return f"the window closes at {deadline}, and the next batch would begin after that"
        self._soak(found, soak)
        return self._ask(found) if boolean(options.get("confirm", False)) else ""

    @staticmethod
    def _soak(found: Manifest, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            display.display(f"  batch {found.ended + 1} of {len(found.batches)} begins in {left:.0f} s")
            time.sleep(min(left, _TELL_EVERY))

    @staticmethod
    def _ask(found: Manifest) -> str:
        question = "\n".join([*rollout.coming(found), "Type yes to go on, anything else to stop: "])
        try:
            answer = display.prompt_until(question)
        except AnsiblePromptInterrupt:
            return "a person interrupted the question"
        except AnsiblePromptNoninteractive:
            return "migrate_rollout_confirm asks a person, and there is no terminal to ask at"
        said = answer.decode(errors="replace").strip()
        return "" if said.lower() == "yes" else f"a person answered {said!r} to whether the next batch shall begin"
