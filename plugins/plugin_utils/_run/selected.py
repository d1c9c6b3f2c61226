# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``migrate_only`` over all hosts of a play: a name that no host has is misspelt, one that some have is right.

Each host leaves the names that it has for the others. What sources of a host have is known once it was queried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core import selection
from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused

from . import invocation

_KIND = "selectable"


def note_listed(host: str, select: Any, databases: Iterable[Any], *, has_sources: bool) -> None:
    """Leave the names of a host's listed databases; those of its sources are unknown yet.

    Args:
        host: its name.
        select: its ``migrate_only``.
        databases: entries or names.
        has_sources: whether it has others that it finds.
    """
    listed = [str(entry.get("name") if isinstance(entry, Mapping) else entry) for entry in databases]
    facts = {"select": selection.list_patterns(select), "listed": listed, "has_sources": has_sources}
    known = invocation.read_shared(_KIND, host) or {}
    if {key: known.get(key) for key in facts} != facts:
        invocation.share_facts(_KIND, host, facts)


def note_found(host: str, names: Iterable[str]) -> None:
    """Leave the names that the sources of a host have."""
    known = invocation.read_shared(_KIND, host)
    if known:
        invocation.share_facts(_KIND, host, {**known, "found": list(names)})


def refuse_unmatched(host: str, hosts: Sequence[str]) -> list[str]:
    """Refuse what no host has, as far as it is known, and return what only this host can have.

    Args:
        host: the one that is about to work.
        hosts: all hosts of the play.

    Raises:
        Refused: a name or a pattern is of no database of any of them.
    """
    mine = invocation.read_shared(_KIND, host) or {}
    select = mine.get("select")
    if not select:
        return []
    noted = {name: invocation.read_shared(_KIND, name) for name in hosts}
    names = [name for facts in noted.values() if facts for name in (*facts["listed"], *facts.get("found", ()))]
    missing = selection.list_unmatched(select, names)
    unknown = [name for name, facts in noted.items() if not _is_known(facts, select)]
    if not unknown:
        where = "of any host" if len(hosts) > 1 else "of this host"
        selection.refuse_unmatched(missing, names, where)
    return missing if unknown == [host] else []


def refuse_unlisted(select: Any, of_hosts: Iterable[tuple[Any, Any]]) -> None:
    """Refuse what no host of an inventory lists, for a run that begins later; what sources find is not known yet.

    Args:
        select: ``migrate_only``.
        of_hosts: the databases and the sources of each host.

    Raises:
        Refused: a name or a pattern is of no database of any of them.
    """
    names: list[str] = []
    for databases, sources in of_hosts:
        if sources:
            return
        names += [str(entry["name"]) for entry in databases or [] if isinstance(entry, Mapping) and "name" in entry]
    if names:
        selection.refuse_unmatched(selection.list_patterns(select), names, "of any host")


def explain_unmatched(host: str, hosts: Sequence[str]) -> str:
    """Return that nothing has some name, or nothing; for what comes after the work of all hosts."""
    try:
        refuse_unmatched(host, hosts)
    except Refused as refusal:
        return str(refusal)
    return ""


def _is_known(facts: Mapping[str, Any] | None, select: list[str]) -> bool:
    """Return whether all names of a host are known; one that has another selection is in another part of the play."""
    return facts is not None and facts["select"] == select and ("found" in facts or not facts["has_sources"])
