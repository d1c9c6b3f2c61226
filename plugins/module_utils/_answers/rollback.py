# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module rollback: it undoes what a run has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._core.paths import Layout
from .._core.results import DatabaseResult
from .._journal.history import last_change, list_to_roll_back
from .._journal.run_state import last_run_state
from .._module.databases import use_databases
from .._module.verb import follow, foretell, have_done
from .._release.by_application import answer_by_release, group_by_release_of_run


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    of_run = module.params["of_run"] or last_change(module.params["root"])
    use_databases(module, of_runs=[of_run])
    options = {**module.params, "of_run": of_run}
    names = [entry["name"] for entry in options["databases"]]
    request = (options["root"], options["run"], options["of_run"], names, options["only"])
    names = list_to_roll_back(*request, attach=options["attach"])
    held = _list_held(options, names)
    if not names:
        foretell(module, held, fails=not module.check_mode)
    options["databases"] = [entry for entry in options["databases"] if entry["name"] in names]
    groups = group_by_release_of_run(options)
    if module.check_mode:
        answer = answer_by_release(groups, lambda group: have_done("foresee_rollback", group))
        # What is refused here does not keep the others from being rolled back; the report fails.
        foretell(module, [*answer["results"], *held], fails=False)
    follow(module, "rollback", groups, held)


def _list_held(options: dict[str, Any], chosen: list[str]) -> list[DatabaseResult]:
    """Return the databases that the earlier run left held: they stay so unless they are named, and need a person."""
    if options["of_run"] == options["run"] or options["only"]:
        return []
    layout = Layout(Path(options["root"]))
    states = [last_run_state(layout, entry["name"], options["run"]) for entry in options["databases"]]
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
