# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status of a host's databases, each requested with the release that it was last shipped or migrated with."""

from __future__ import annotations

from typing import Any

from .._backup.listing import list_backups
from .._core.argument_specs import Options
from .._core.errors import Refused
from .._core.results import BackupsFacts
from .._journal.history import make_unshipped_status
from .._release.lookup import (
    build_missing_release_refusal,
    find_virtualenv_python,
    read_current_release,
    release_of_database,
)
from .call import call_verb


def list_statuses(options: Options, *, named: bool) -> list[dict[str, Any]]:
    """Return one status for each database, in the order of the inventory.

    Args:
        options: those of the module.
        named: whether the caller has named a release, which then holds for all.

    Raises:
        Refused: the only release that there is cannot be read.
    """
    by_release: dict[str, list[Options]] = {}
    for entry in options["databases"]:
        release = options["release"] if named else release_of_database(options["root"], entry["name"])
        by_release.setdefault(release, []).append(entry)
    found: dict[str, dict[str, Any]] = {}
    for release, entries in by_release.items():
        found.update({status["name"]: status for status in _with(release, entries, options, len(by_release) == 1)})
    # Those that were not begun in time are left to the next call.
    names = [entry["name"] for entry in options["databases"] if entry["name"] in found]
    listed = list_backups(options["root"], names)
    return [_with_backups(found[each["name"]], each) for each in listed]


def _with_backups(status: dict[str, Any], listed: BackupsFacts) -> dict[str, Any]:
    problems = [listed["problem"]] if listed["problem"] else []
    return {
        **status,
        "backups": listed["backups"],
        "backup_problems": [*status["backup_problems"], *problems],
    }


def _with(release: str, entries: list[Options], options: Options, only: bool) -> list[dict[str, Any]]:
    python = find_virtualenv_python(options["root"], release)
    if python is None and not release and read_current_release(options["root"]):
        return [
            _describe_unknown(entry["name"], build_missing_release_refusal(options["root"], release, [entry["name"]]))
            for entry in entries
        ]
    if python is None:
        return [make_unshipped_status(entry["name"]) for entry in entries]
    try:
        return list(call_verb(python, "status", {**options, "release": release, "databases": entries})["databases"])
    except Refused as refusal:
        if only:
            raise
        # One application that cannot be read does not hide the others.
        return [_describe_unknown(entry["name"], refusal) for entry in entries]


def _describe_unknown(name: str, refusal: Refused) -> dict[str, Any]:
    return {**make_unshipped_status(name), "problems": [refusal.as_facts()]}
