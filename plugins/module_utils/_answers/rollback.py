# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module rollback: it undoes what a run has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._core.errors import Refused, describe_first
from .._core.paths import Layout, build_key
from .._core.playbook_command import build_playbook_command
from .._core.results import DatabaseResult
from .._core.selection import list_patterns
from .._journal.history import find_last_change, list_moved, list_to_roll_back
from .._journal.run_state import read_last_run_state
from .._module.databases import use_databases
from .._module.verb import delegate_verb, follow, foretell
from .._release.by_application import answer_by_release, group_by_release_of_run

_MOST_NAMED = 20


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    of_run = module.params["of_run"] or find_last_change(module.params["root"])
    use_databases(module, of_runs=[of_run])
    options = {**module.params, "of_run": of_run}
    names = [entry["name"] for entry in options["databases"]]
    request = (options["root"], options["run"], options["of_run"], names, options["only"])
    names = list_to_roll_back(*request, attach=options["attach"])
    _refuse_unlisted(options, names)
    held = _list_held(options, names)
    if not names:
        foretell(module, held, fails=not module.check_mode)
    options["databases"] = [entry for entry in options["databases"] if entry["name"] in names]
    groups = group_by_release_of_run(options)
    if module.check_mode:
        answer = answer_by_release(groups, lambda group: delegate_verb("foresee_rollback", group))
        # What is refused here does not keep the others from being rolled back; the report fails.
        foretell(module, [*answer["results"], *held], fails=False)
    follow(module, "rollback", groups, held)


def _refuse_unlisted(options: dict[str, Any], chosen: list[str]) -> None:
    """Refuse to roll back a part of a run without a word on the rest, which the inventory does not list any more.

    Raises:
        Refused: the run moved others, and neither databases nor a selection are named.
    """
    of_run = options["of_run"]
    if of_run == options["run"] or options["only"] or list_patterns(options["select"]):
        return
    known = {build_key(entry["name"]) for entry in options["databases"]}
    unlisted = [name for name in list_moved(options["root"], of_run) if build_key(name) not in known]
    if unlisted:
        remedy = "Add them to migrate_databases, or use the variables of their application"
        if chosen:
            these = build_playbook_command("rollback", migrate_rollback_run=of_run, migrate_rollback_databases=chosen)
            remedy = f"Add them to migrate_databases, or roll back the others alone: {these}"
        raise Refused(
            f"Run {of_run} moved databases that are not in the inventory of this host",
            f"it does not list {describe_first(unlisted, _MOST_NAMED)}",
            remedy,
            code="database-not-listed",
        )


def _list_held(options: dict[str, Any], chosen: list[str]) -> list[DatabaseResult]:
    """Return the databases that the earlier run left held: they stay so unless they are named, and need a person."""
    if options["of_run"] == options["run"] or options["only"]:
        return []
    layout = Layout(Path(options["root"]))
    states = [read_last_run_state(layout, entry["name"], options["run"]) for entry in options["databases"]]
    return [
        {
            "name": left.name,
            "outcome": "held",
            "changed": False,
            "of_run": left.run,
            "error": left.error,
            "ways_out": left.ways_out,
        }
        for left in states
        if left.state == "held" and left.run == options["of_run"] and left.name not in chosen
    ]
