# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module recover: it recovers runs that were interrupted."""

from __future__ import annotations

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._discovery.source import Source
from .._journal.run_state import find_unrecovered
from .._module.databases import use_databases
from .._module.recover import list_littered, list_strangers, recover
from .._module.result import BAD, build_diff, fail, format_errors, leave
from .._module.unfinished import Unfinished


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    found = use_databases(module, unfinished=True)
    sources = [Source.from_options(entry) for entry in module.params.get("discover") or []]
    names = {name for each in found for name in each["names"]}
    module.params["databases"] = Unfinished(module.params["root"], sources).put_back(module.params, names)
    options = dict(module.params)
    if module.check_mode:
        results = [
            {"name": left.name, "outcome": "unrecovered", "changed": True, "of_run": left.run}
            for left in [*find_unrecovered(options), *list_littered(options)]
        ]
        answer: dict[str, Any] = {"finished": True, "lines": [], "cursor": {}, "results": results}
    else:
        answer = recover(options)
    results = answer.pop("results")
    bad = [result for result in results if result["outcome"] in BAD]
    facts = {"changed": any(result["changed"] for result in results), "databases": results, **answer}
    facts.update(strangers=list_strangers(options))
    if answer["finished"] and bad:
        fail(module, format_errors(bad), **facts)
    leave(module, diff=build_diff(results), **facts)
