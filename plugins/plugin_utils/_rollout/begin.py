# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The batches of a run, made once all of its hosts were planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .._run import invocation, results, selected
from .._run.command_line import find_invocation
from . import batches, contract, decide, manifest
from .manifest import Host, Manifest

_WANTED = "rollout"


def list_problems(options: Mapping[str, Any], groups: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the options of a rollout, before any host is touched.

    Args:
        options: ``rollout``, ``canary`` and ``max_failures``.
        groups: the groups of the inventory.
    """
    try:
        batches.parse_limits(options.get("max_failures", 0))
        batches.build_batches([], options.get("rollout", batches.DEFAULT), _list_canary(options, groups))
    except Refused as refusal:
        yield str(refusal)


def announce(options: Mapping[str, Any], hosts: Sequence[str], *, check_mode: bool) -> None:
    """Leave the options of a rollout for the play that needs its batches; those of the first host stay.

    Args:
        options: of a host; empty where the variables of the host could not be read.
        hosts: all hosts that are planned.
        check_mode: whether it only predicts.
    """
    with invocation.hold_lock(_WANTED):
        known = invocation.read_shared(_WANTED, "") or {}
        if not known or (options and not known["is_known"]):
            wanted = {**options, "hosts": list(hosts), "check_mode": check_mode, "is_known": bool(options)}
            invocation.share_facts(_WANTED, "", wanted)


def find_current_manifest(groups: Mapping[str, Any]) -> Manifest | None:
    """Return the manifest of the rollout of this invocation; of one that was announced it is made first."""
    with invocation.hold_lock("batches"):
        wanted = invocation.take_shared(_WANTED, "")
        if wanted:
            _begin(wanted, groups)
    return manifest.read_current()


def _begin(wanted: Result, groups: Mapping[str, Any]) -> None:
    folder = wanted.get("manifests") or ""
    hosts = {name: _read_planned(name, check_mode=wanted["check_mode"]) for name in wanted["hosts"]}
    run_id = wanted.get("run") or next((host.run for host in hosts.values() if host.run), "")
    try:
        earlier = manifest.read(manifest.locate_manifest(folder, run_id)) if folder and run_id else None
    except Refused as refusal:  # nothing is written under this name either
        made = _with_hosts(Manifest(""), hosts, wanted)
        made.why = str(refusal)
        _keep(made, "")
        return
    made = _with_hosts(earlier or Manifest(run_id), hosts, wanted)
    try:
        _put_into_batches(made, wanted, groups)
        made.why = _explain_not_contracted(made, wanted, folder)
        limits = batches.parse_limits(wanted.get("max_failures", 0))
        made.why = made.why or selected.explain_unmatched(wanted["hosts"][0], wanted["hosts"])
        made.why = made.why or decide.explain_not_begun(made, limits, wanted.get("on_failure", "stop"))
        if not wanted["is_known"]:
            made.why = made.why or "no host has variables that can be read"
    except Refused as refusal:
        made.why = str(refusal)
    try:
        _keep(made, "" if wanted.get("check_mode") or not made.run else folder)
    except Refused as refusal:
        made.why = str(refusal)
        _keep(made, "")


def _explain_not_contracted(made: Manifest, wanted: Result, folder: str) -> str:
    """Return why nothing is contracted now; what is to be done first is for all hosts, also for those left out here."""
    fleet = wanted.get("fleet") or []
    is_limited = not set(fleet) <= set(wanted["hosts"])
    why = contract.explain_refusal(made, wanted["hosts"], fleet, folder)
    return find_invocation().complete_commands(why, "all", migrates=True) if is_limited else why


def _keep(made: Manifest, folder: str) -> None:
    made.why = find_invocation().complete_commands(made.why, migrates=True)
    if made.why:
        made.state = "stopped"
    elif made.batches:
        # Before it begins: what follows a crash must know.
        for name in made.batches[0]:
            made.hosts[name].begun += 1
    manifest.keep(made, folder)


def _with_hosts(made: Manifest, hosts: Mapping[str, Host], wanted: Result) -> Manifest:
    made.state, made.why, made.ended, made.rolls_back, made.batches = "begun", "", 0, False, []
    made.target = wanted.get("target", "head")
    for name, host in hosts.items():
        host.begun = made.hosts[name].begun if name in made.hosts else 0
    # Hosts of an earlier part that this one does not reach stay in it as they were.
    made.hosts = {**made.hosts, **hosts}
    return made


def _put_into_batches(made: Manifest, wanted: Result, groups: Mapping[str, Any]) -> None:
    todo = [name for name in wanted["hosts"] if made.hosts[name].state in ("waiting", "failed", "lost")]
    made.batches = batches.build_batches(todo, wanted.get("rollout", batches.DEFAULT), _list_canary(wanted, groups))
    for number, names in enumerate(made.batches, 1):
        for name in names:
            made.hosts[name].batch = number


def _read_planned(name: str, *, check_mode: bool) -> Host:
    """Return a host's part from what preflight and the plan have left, and from the failure that was rescued."""
    found = {**results.of_host(name), **(invocation.take_shared("planned", name) or {})}
    found = find_invocation().complete_all(found, name)
    plan = found.get("plan") or {}
    # A host that Ansible has given up was not rescued; what it has left says that it came only so far.
    if not found.get("failure") and not (plan.get("ok") and (plan.get("shipped") or check_mode)):
        return Host(state="lost", why="it did not answer")
    return decide.read_planned(found)


def _list_canary(options: Mapping[str, Any], groups: Mapping[str, Any]) -> list[str] | None:
    group = options.get("canary") or ""
    if not group:
        return None
    if group not in groups:
        raise Refused(
            f"There is no group {group!r} in the inventory",
            "migrate_rollout_canary names it",
            "Name a group, or leave it empty for a canary of one host",
            code="group-unknown",
        )
    return list(groups[group])
