# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module prune: it lists or drops what earlier runs have left."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._discovery.query import query_source
from .._module.databases import use_databases
from .._module.result import BAD, fail, format_errors, leave
from .._module.verb import delegate_verb
from .._release.by_application import answer_by_release, group_by_release


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    use_databases(module, query_source)
    groups = group_by_release({**module.params, "check": module.check_mode})
    results = answer_by_release(groups, lambda options: delegate_verb("prune", options))["results"]
    changed = any(result["changed"] for result in results)
    before = [leftover["name"] for result in results for leftover in result["leftovers"]]
    kept = [entry["name"] for result in results for entry in result["leftovers"] if entry["outcome"] == "kept"]
    diff = {"before": "".join(f"{name}\n" for name in before), "after": "".join(f"{name}\n" for name in kept)}
    bad = [result for result in results if result["outcome"] in BAD]
    if bad:
        fail(module, format_errors(bad), changed=changed, databases=results, diff=diff)
    leave(module, changed=changed, databases=results, diff=diff)
