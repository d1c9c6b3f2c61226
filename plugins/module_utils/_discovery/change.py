# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check of an answer for plausibility: a broken query must not be read as a host without databases."""

from __future__ import annotations

from collections.abc import Sequence

from .._core.errors import Refused, describe_first
from .._core.playbook_command import build_playbook_command
from .found_list import FoundList
from .source import Source

#: Of so many databases all names are in the message; a controller takes no text without a limit.
_MOST_NAMED = 300


def refuse_if_too_few(source: Source, names: Sequence[str]) -> None:
    """Refuse an answer with fewer databases than a source must have.

    Raises:
        Refused: it has fewer.
    """
    if len(names) < source.minimum:
        raise Refused(
            f"Source {source.name!r} found {len(names) or 'no'} databases and must find {source.minimum} at least",
            f"found: {_render_names(names)}",
            "Check what it queries. If so few are right, lower its minimum",
            code="discovery-too-few",
        )


def refuse_if_changed(source: Source, names: Sequence[str], last: FoundList | None) -> None:
    """Refuse an answer that differs too much from the last list that was accepted.

    What is gone and what is new each count by themselves, so that an answer with other databases is noticed too.

    Raises:
        Refused: more is gone, or more is new, than ``maximum_change`` percent of the last list.
    """
    if last is None:
        return
    gone = [name for name in last.names if name not in set(names)]
    new = [name for name in names if name not in set(last.names)]
    limit = len(last.names) * source.maximum_change / 100
    if len(gone) <= limit and len(new) <= limit:
        return
    accept = build_playbook_command("migrate", migrate_discover_accept="true")
    raise Refused(
        f"Source {source.name!r} found another list of databases than in run {last.run}",
        f"{len(gone)} of {len(last.names)} are gone and {len(new)} are new, and maximum_change is"
        f" {source.maximum_change:g} %; gone: {_render_names(gone)}; new: {_render_names(new)};"
        f" then: {_render_names(last.names)}; now: {_render_names(names)}",
        f"Check what it queries. If the new list is right: {accept}",
        code="discovery-changed",
    )


def _render_names(names: Sequence[str]) -> str:
    return describe_first(list(names), _MOST_NAMED) or "none"
