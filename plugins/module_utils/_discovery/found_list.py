# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lists of found databases that a host keeps: one for each run, and the last one of each source.

Rows are kept, and of them only the columns that the template names; what comes from the inventory, such as a password
in the template, is not. The files can be read by their owner only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .._core.paths import (
    FORMAT,
    Layout,
    check_run_id,
    is_run,
    key_of,
    private_directory,
    select_known_facts,
    write_durably,
)

#: The lists of so many runs are kept.
KEPT = 200


@dataclass(frozen=True)
class Row:
    """One database of a list: its name, where it is, and the columns that its entry is made of."""

    name: str
    #: A digest of where it is.
    place: str
    values: Mapping[str, str]
    #: Why no entry can be made of it, if so; then it has no values.
    problem: str = ""


@dataclass(frozen=True)
class FoundList:
    """The databases that a source had in a run."""

    run: str
    at: str
    rows: tuple[Row, ...]

    @property
    def names(self) -> list[str]:
        """Return the names of its databases."""
        return [row.name for row in self.rows]


def now() -> str:
    """Return the present moment."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def lists_of_run(root: str, runs: Iterable[str]) -> dict[str, FoundList]:
    """Return the lists of the first of some runs that has any, by source."""
    for run in runs:
        if run and is_run(run):
            facts = _read(_of_run(root, run))
            if facts:
                return {name: _list(facts, rows) for name, rows in facts["sources"].items()}
    return {}


def last_list(root: str, source: str) -> FoundList | None:
    """Return the last list of a source that was accepted, or None."""
    facts = _read(_last(root, source))
    return _list(facts, facts["rows"]) if facts else None


def keep_lists(root: str, run: str, lists: Mapping[str, FoundList], new: Iterable[str]) -> None:
    """Keep the lists of a run; those of some sources are the last ones of these from now on.

    Raises:
        Refused: the folder cannot be made, or the run id cannot be a file name.
    """
    path = _of_run(root, run)
    private_directory(path.parent)
    sources = {name: [asdict(row) for row in found.rows] for name, found in lists.items()}
    before = {name: _read(_last(root, name)) for name in new}
    facts = {"format": FORMAT, "run": run, "at": now(), "sources": sources, "before": before}
    write_durably(path, json.dumps(facts, indent=1))
    for name in new:
        last = _last(root, name)
        private_directory(last.parent)
        facts = {"format": FORMAT, "run": run, "at": lists[name].at, "source": name, "rows": sources[name]}
        write_durably(last, json.dumps(facts, indent=1))
    written = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime, reverse=True)
    for old in written[KEPT:]:
        old.unlink(missing_ok=True)


def forget_lists(root: str, run: str) -> None:
    """Forget the lists of a run that was refused before it began, and have the last ones be those before it.

    Those of a run that has begun with them stay: its journals are of these databases.
    """
    path = _of_run(root, run) if is_run(run) else None
    facts = _read(path) if path else {}
    if not path or not facts or any(Layout(Path(root)).journals.glob(f"*/{run}.jsonl")):
        return
    for name, before in (facts.get("before") or {}).items():
        last = _last(root, name)
        if before:
            write_durably(last, json.dumps(before, indent=1))
        else:
            last.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _list(facts: Mapping[str, Any], rows: list[Any]) -> FoundList:
    return FoundList(str(facts["run"]), str(facts["at"]), tuple(Row(**select_known_facts(Row, row)) for row in rows))


def _of_run(root: str, run: str) -> Path:
    return Layout(Path(root)).discovered / "runs" / f"{check_run_id(run)}.json"


def _last(root: str, source: str) -> Path:
    return Layout(Path(root)).discovered / "last" / f"{key_of(source)}.json"


def _read(path: Path) -> dict[str, Any]:
    """Return what is in a file; nothing if there is none, or one of a later version."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return dict(facts) if facts.get("format", 0) <= FORMAT else {}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
