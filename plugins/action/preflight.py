# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Preflight: all of it happens here, on the controller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.checks import list_problems
from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.env_py import refuse_without_env_py
from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.packing import pack_once
from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.role_variables import (
    build_refusal,
    list_variable_problems,
)
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import begin
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import count_earlier_parts
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation, results, selected
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.unknown_variables import list_misspelt
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.permit import Permit, permit

display = Display()

_DEFAULTS: dict[str, Any] = {
    "databases": [],
    "discover": [],
    "select": [],
    "run": "",
    "requirements": "requirements.txt",
    "packages": [],
    "pip_arguments": [],
    "wheelhouse": "",
    "exclude": [],
    "alembic_options": {},
    "python": "python3",
    "virtualenv": "",
    "windows": [],
    "window_required": False,
    "window_override": "",
    "keep_window": False,
    "services": [],
    "health_checks": [],
    "manifests": "",
    "rollout": {},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Check the options, pack the source, name the run."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what was packed, or all that is wrong."""
        super().run(tmp, task_vars)
        facts = task_vars or {}
        host = facts.get("inventory_hostname", "")
        for sentence in list_misspelt(facts):
            display.warning(sentence)
        options = {**_DEFAULTS, **self._task.args}
        results.begin(host, {})
        if options["rollout"]:
            begin.announce(options["rollout"], facts["ansible_play_hosts_all"], check_mode=self._task.check_mode)
        wrong = [*list_problems(options), *self._list_problems(options, facts)]
        if not wrong:
            try:
                allowed = self._permit(options)
                run_id = invocation.run_id(
                    options["run"], host, count_earlier_parts(options["manifests"], options["run"], host)
                )
                packed = {"run": run_id, "window": asdict(allowed), **self._pack(run_id, options)}
                results.begin(host, packed)
                selected.note_listed(
                    host, options["select"], options["databases"], has_sources=bool(options["discover"])
                )
                return {"changed": False, **packed}
            except Refused as error:
                wrong = [str(error)]
        raise build_refusal(wrong, host)

    def _list_problems(self, options: dict[str, Any], facts: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the other variables of the role."""
        yield from list_variable_problems(facts, self._templar.template)
        if options["rollout"]:
            yield from begin.list_problems(options["rollout"], facts.get("groups") or {})

    def _permit(self, options: dict[str, Any]) -> Permit:
        """Return what the windows allow; a run that changes nothing may start at any time."""
        if self._task.check_mode or not boolean(options["keep_window"]):
            return Permit()
        return permit(options["windows"], boolean(options["window_required"]), options["window_override"])

    @staticmethod
    def _pack(run_id: str, options: dict[str, Any]) -> dict[str, Any]:
        source = Path(options["source"])
        refuse_without_env_py(source, options["alembic_options"] or {}, options["exclude"])
        packed = pack_once(
            run_id,
            source,
            exclude=options["exclude"],
            requirements=options["requirements"],
            packages=options["packages"],
            wheelhouse=options["wheelhouse"],
            pip_arguments=options["pip_arguments"],
            python=options["python"],
            virtualenv=options["virtualenv"],
        )
        if not any(packed["installation"][source] for source in ("requirements", "packages", "virtualenv")):
            raise Refused(
                "No requirements are defined for the migrations",
                f"there is no {options['requirements']} in {options['source']}",
                "Add one, or set migrate_packages, for example [alembic, psycopg2-binary], or migrate_virtualenv",
                code="requirements-missing",
            )
        return packed
