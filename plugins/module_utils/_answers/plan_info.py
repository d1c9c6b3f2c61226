# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module plan_info: one plan for each database."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._application.maintenance_record import read_maintenance
from .._core.masking import mask_data
from .._core.packed_list import pack_list
from .._core.results import PlanFacts
from .._core.writable import refuse_if_root_cannot_be_written
from .._discovery.query import query_source
from .._journal.run_state import find_unrecovered
from .._module.call import call_plan
from .._module.databases import describe_progress, exclude_done, refuse_if_found_twice, use_databases
from .._module.result import format_errors, leave
from .._module.staged_plan import plan_with_unshipped
from .._plan.model import Plan
from .._release.by_application import group_by_release
from .._release.lookup import build_missing_release_refusal, find_virtualenv_python

#: Plans of more databases are sent as one text.
_PACKED_BEYOND = 100


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    found = use_databases(module, query_source, begins=True, unfinished=True)
    refuse_if_root_cannot_be_written(Path(module.params["root"]))
    options: dict[str, Any] = exclude_done(module.params)
    groups = group_by_release(options)
    pythons = [find_virtualenv_python(options["root"], group["release"]) for group in groups]
    maintenance = read_maintenance(options["root"])
    left = [left.name for left in find_unrecovered(module.params)]
    databases: list[PlanFacts] = []
    is_to_recover = bool(left) and options["recovers"]
    makes_plans = any(pythons) and not is_to_recover
    if makes_plans:
        remember = options["recovers"] and not module.check_mode
        for python, group in zip(pythons, groups):
            databases += (
                call_plan(python, {**group, "remember": remember}) if python else _list_plans_without_release(group)
            )
    elif module.check_mode and options["archive"] and not is_to_recover:
        databases = plan_with_unshipped(options)
    refuse_if_found_twice(module, [*options["done_before"], *databases], found)
    places = {entry["name"]: place for place, entry in enumerate(options["databases"])}
    databases.sort(key=lambda plan: places[plan["name"]])
    refused = [{**entry, "error": obstacle} for entry in databases for obstacle in entry["obstacles"]]
    pending = any(entry["pending"] for entry in databases) or bool(refused)
    leave(
        module,
        changed=False,
        shipped=all(pythons),
        release=groups[0]["release"] if len(groups) == 1 else "",
        pending=pending,
        unrecovered=left,
        maintenance=maintenance,
        left_maintenance=maintenance is not None and not maintenance["kept_by"],
        refusals=format_errors(refused).splitlines(),
        **_pack_many(databases),
        found=found,
        **describe_progress(options, databases if makes_plans else options["databases"]),
    )


def _pack_many(databases: list[PlanFacts]) -> dict[str, Any]:
    """Return the plans as a part of the answer; the action plugin unpacks those of many databases."""
    if len(databases) <= _PACKED_BEYOND:
        return {"databases": databases}
    return {"databases": [], "packed": pack_list(map(mask_data, databases))}


def _list_plans_without_release(group: dict[str, Any]) -> list[PlanFacts]:
    """Return plans that say that the release is missing, beside those of the databases whose release is there."""
    names = [entry["name"] for entry in group["databases"]]
    missing = build_missing_release_refusal(group["root"], group["release"], names)
    targets = {entry["name"]: entry.get("target") or group["target"] for entry in group["databases"]}
    return [Plan(name, targets[name], obstacles=[missing]).as_facts() for name in names]
