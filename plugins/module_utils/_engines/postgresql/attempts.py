# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore by the ways there are, one after the other: each leaves the database as it was if it fails."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ..._core.errors import CORRECT_IT, HALF_WAY, NOT_PERMITTED, NOT_POSSIBLE, Failed, Refused
from ..data import Archive, Restored, RestoreMethod
from ..interface import Guard, Report
from . import catalog_queries, client_tools, restore_method
from .psql import Contents
from .restore_in_place import InPlace
from .restore_method import BY_HAND
from .restore_swap import Swap
from .session import read_major_version

if TYPE_CHECKING:
    from .session import PostgreSQLSession

#: What the server says of a name that it does not find, whether of a function, a table, a type or an operator.
_NOT_FOUND = "does not exist"
#: And of what needs the rights of another role.
_NOT_PERMITTED = re.compile(r"permission denied|must be (?:owner|member|superuser|able to)")


def restore_by(
    engine: PostgreSQLSession, method: RestoreMethod, archive: Archive, run: str, report: Report, guard: Guard
) -> Restored:
    """Restore by a method; by the next one where it fails before anything was replaced.

    An archive is replayed with an empty search_path. Where a function in it finds others by the path only, it is
    replayed once more with the path that sessions of the database's user have; all other names have their schemas.

    Raises:
        Refused, Failed: as ``Restorer.restore``.
    """
    there = _list_subscriptions(engine)
    path = str(archive.activity.get("search_path") or engine.open_own_connection().query_rows("show search_path")[0][0])
    reason, last = "", Failed(f"Database {engine.database.name!r} was not restored", code="restore-failed")
    for number, (name, search_path) in enumerate(_list_ways(engine, method, path)):
        way = (Swap if name == "swap" else InPlace)(engine, archive, run, report, search_path)
        if number and search_path and _NOT_FOUND not in reason:
            continue
        try:
            restored = way.restore(guard)
        except Failed as failure:
            if failure.code == HALF_WAY or (isinstance(way, Swap) and way.filled):
                raise
            reason = "; ".join(part for part in (reason, failure.why or failure.what) if part)
            last = failure
            continue
        except Refused as refusal:
            # Why the first method failed says more than that another one is impossible.
            if not reason:
                raise
            if refusal.code not in (NOT_POSSIBLE, NOT_PERMITTED):
                raise refusal.with_reason(reason) from refusal
            reason = f"{reason}; {refusal.why}"
            continue
        left_out = method if name == method.name else restore_method.build_in_place_method(engine)
        lost = _find_lost_subscriptions(engine, archive, there, report)
        return replace(restored, not_restored=left_out.not_restored + restored.not_restored + lost)
    if not _NOT_PERMITTED.search(reason):
        raise Failed(last.what, reason, last.remedy, code=last.code)
    raise Failed(last.what, reason, last.remedy if last.remedy != CORRECT_IT else BY_HAND, code=NOT_PERMITTED)


def _list_subscriptions(engine: PostgreSQLSession) -> set[str]:
    own = engine.open_own_connection()
    found = catalog_queries.build_subscriptions_query(own.run(read_major_version))
    return {str(name) for (name,) in own.query_rows(f"select s.subname from {found} s")}


def _find_lost_subscriptions(engine: PostgreSQLSession, archive: Archive, there: set[str], report: Report) -> list[str]:
    """Return in words which subscriptions the backup has and the database had not any more: no restore makes one."""
    version = engine.open_own_connection().run(read_major_version)
    tools = client_tools.choose_tools(engine.job.pg_bin, engine.database.name, version, archive.path)
    lines = Contents.of(tools, archive.path, report).select_lines(["SUBSCRIPTION"])
    names = {line.partition(" SUBSCRIPTION - ")[2].rpartition(" ")[0] for line in lines}
    lost = ", ".join(sorted(names - there))
    return [f"subscriptions, which were dropped since the backup, and which no restore makes: {lost}"] if lost else []


def _list_ways(engine: PostgreSQLSession, method: RestoreMethod, search_path: str) -> list[tuple[str, str]]:
    ways = [(method.name, ""), (method.name, search_path)]
    may_choose = method.name == "swap" and engine.job.restore_method == "auto"
    in_place = restore_method.build_in_place_method(engine) if may_choose else None
    if in_place and in_place.obstacle is None and not in_place.loses:
        ways += [("in_place", ""), ("in_place", search_path)]
    return ways
