# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases of several applications in one call: each is worked on with the release of its own application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .._core.argument_specs import Options
from .._core.errors import Refused
from .._core.paths import Layout
from .._core.results import Answer
from .._journal.events import read_events
from .lookup import read_current_release, release_of_database


def group_by_release(options: Options) -> list[Options]:
    """Return a module's options once for each release that its databases have, with those databases.

    A database's release is the one that it was last shipped or upgraded with; one in the options holds for all.
    """
    if options.get("release"):
        return [options]
    if not options["databases"]:
        return [{**options, "release": read_current_release(options["root"])}]
    return _group_options(options, lambda name: release_of_database(options["root"], name))


def group_by_release_of_run(options: Options) -> list[Options]:
    """Return the options of a rollback once for each release that the run upgraded its databases with."""
    layout = Layout(Path(options["root"]))
    return _group_options(options, lambda name: release_of_run(layout, options["of_run"], name))


def group_by_release_of_this_run(options: Options) -> list[Options]:
    """Return the options of a downgrade once for each release that this run has upgraded its databases with."""
    if options.get("release"):
        return [options]
    layout = Layout(Path(options["root"]))
    releases = {entry["name"]: release_of_run(layout, options["run"], entry["name"]) for entry in options["databases"]}
    used = [release for release in releases.values() if release]
    if not used:
        return group_by_release(options)
    # What the run did not begin has nothing to be downgraded, by whichever release.
    return _group_options(options, lambda name: releases[name] or used[0])


def refuse_canary_of_several(groups: list[Options]) -> None:
    """Refuse a canary among databases of several applications, which are upgraded one application after another.

    Raises:
        Refused: there is one.
    """
    if len(groups) > 1 and groups[0].get("canary"):
        releases = ", ".join(group["release"][:12] or "none" for group in groups)
        raise Refused(
            f"The canary {groups[0]['canary']!r} cannot go before the databases of other applications",
            f"the databases of this call have several releases: {releases}",
            "Call the module once for each application, with the release that it has",
            code="canary-of-another-application",
        )


def _group_options(options: Options, release_of: Callable[[str], str]) -> list[Options]:
    groups: dict[str, list[Options]] = {}
    for entry in options["databases"]:
        groups.setdefault(release_of(entry["name"]), []).append(entry)
    return [_of_group(options, release, entries) for release, entries in groups.items()]


def _of_group(options: Options, release: str, entries: list[Options]) -> Options:
    group = {**options, "release": release, "databases": entries}
    if options.get("only"):
        names = {entry["name"] for entry in entries}
        group["only"] = [name for name in options["only"] if name in names]
    return group


def release_of_run(layout: Layout, run: str, database: str) -> str:
    """Return the release that a run upgraded a database with, or an empty string."""
    for event in read_events(layout.locate_journal(database, run)):
        if event["event"] == "planned":
            return str(event.get("release") or "")
    return ""


def answer_by_release(groups: list[Options], answer_of: Callable[[Options], Answer]) -> Answer:
    """Return one answer for all groups; an application that is refused does not hide the others.

    Args:
        groups: from ``group_by_release``.
        answer_of: does the work of one group. A group is not begun before the one before it has ended.

    Raises:
        Refused: the only group was refused.
    """
    if len(groups) == 1:
        return answer_of(groups[0])
    cursor: Options = dict(groups[0].get("cursor") or {})
    results: list[Answer] = []
    lines: list[str] = []
    finished = True
    for group in groups:
        try:
            answer = answer_of({**group, "cursor": cursor} if "cursor" in group else group)
        except Refused as refusal:
            results += [_make_refusal(entry["name"], refusal) for entry in group["databases"]]
            continue
        results += answer["results"]
        lines += answer.get("lines", [])
        cursor = {**cursor, **answer.get("cursor", {})}
        finished = answer.get("finished", True)
        if not finished:
            break
    return {"finished": finished, "results": results, "lines": lines, "cursor": cursor}


def _make_refusal(name: str, refusal: Refused) -> Answer:
    return {"name": name, "outcome": "refused", "changed": False, "error": refusal.as_facts(), "leftovers": []}
