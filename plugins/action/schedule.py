# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting the run on the controller's schedule. What that consists of is in plugin_utils/_schedule/files.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.role_variables import (
    build_refusal,
    list_variable_problems,
)
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.failing import FailedOnce
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.screen import show
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.selected import refuse_unlisted
from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.at_night import (
    build_environment,
    lacks_mailer,
    list_lost_settings,
)
from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.files import Schedule
from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.given import read_given
from ansible_collections.hosting.alembic.plugins.plugin_utils._schedule.install import File, Machine
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.options import read_windows
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.permit import read_now
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.window import find_next_after, format_moment

_OF_THE_SCHEDULE = (
    "name",
    "playbook",
    "project",
    "windows",
    "inventory",
    "vault_password_file",
    "arguments",
    "on_failure",
    "mail",
)

_NO_MAILER = (
    "This machine has neither mail nor sendmail, so nothing can be mailed to migrate_schedule_mail. Install one, or"
    " set migrate_schedule_on_failure"
)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Write the files and switch the timer on, or remove them. No connection is made."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what was changed, and when the next run begins."""
        super().run(tmp, task_vars)
        options = self._task.args
        pretend = bool(self._task.check_mode)
        facts = task_vars or {}
        # Of the hosts' own variables some may have no value here, on the controller.
        wrong = list(list_variable_problems(facts, self._templar.template, "migrate_schedule_"))
        if wrong:
            raise build_refusal(wrong, facts.get("inventory_hostname", ""))
        try:
            machine = Machine(options.get("folder", ""), options.get("kind", "auto"))
            if options.get("state", "present") == "absent":
                changed = machine.take_off(options["name"], pretend=pretend)
                return _answer(changed, machine, "")
            self._refuse_unmatched(facts)
            known = {key: options[key] for key in _OF_THE_SCHEDULE if key in options}
            given = read_given(context.CLIARGS, Path.cwd())
            schedule = Schedule(**known, environment=build_environment(known["project"]), given=given)
            changed = machine.put(schedule, options.get("log", ""), pretend=pretend)
            next_window = find_next_after(read_windows(schedule.windows), read_now())
        except (Refused, OSError) as error:
            raise FailedOnce(str(error)) from None
        following = (
            format_moment(next_window.opens, next_window.zone) if next_window else "at no time within the next year"
        )
        places = machine.locate_files(schedule.name, options.get("log", ""))
        answer = {**_answer(changed, machine, following), "script": str(places.script), "log": str(places.log)}
        warnings = list_lost_settings(schedule.words)
        if schedule.mail and not machine.folder and lacks_mailer():
            warnings.append(_NO_MAILER)
        if warnings:
            answer["warnings"] = warnings
        summary = _describe_schedule(answer, machine, pretend=pretend)
        show(summary)
        return {**answer, "summary": summary}

    def _refuse_unmatched(self, facts: dict[str, Any]) -> None:
        """Refuse a name that each scheduled run would refuse, where this inventory is the one it has.

        Raises:
            Refused: no host lists such a database.
        """
        select = self._templar.template(facts.get("migrate_only"))
        inventories = [self._task.args.get("inventory"), facts.get("ansible_inventory_sources")]
        scheduled, present = (list(each) if isinstance(each, (list, tuple)) else each for each in inventories)
        if not select or scheduled != present:
            return
        try:
            of_hosts = [
                tuple(facts["hostvars"][host].get(name) for name in ("migrate_databases", "migrate_discover"))
                for host in facts["groups"]["all"]
            ]
        except AnsibleError:  # of the hosts' own variables some may have no value here
            return
        refuse_unlisted(select, ((databases, sources) for databases, sources in of_hosts))


def _describe_schedule(answer: dict[str, Any], machine: Machine, *, pretend: bool) -> list[str]:
    """Return what was done, or would be in check mode, in words."""
    lines = [f"The next window opens {answer['next']}.", f"{answer['script']} logs to {answer['log']}."]
    written = ", ".join(answer["files"]) or "nothing that was not there already"
    if pretend:
        lines.append(f"Nothing was written in check mode. Would be written: {written}.")
    elif machine.folder:
        lines.append(f"Nothing was switched on. Written to migrate_schedule_folder: {written}.")
    return lines


def _answer(changed: list[File], machine: Machine, following: str) -> dict[str, Any]:
    return {
        "changed": bool(changed),
        "kind": machine.kind,
        "files": [str(file.path) for file in changed],
        "next": following,
    }
