# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lists of found databases that a host keeps: one for each run, and the last one of each source.

Rows are kept, and of them only the columns that the template names; what comes from the inventory, such as a password
in the template, is not. The files can be read by their owner only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from .._core.errors import Refused
from .._core.paths import (
    Layout,
    build_key,
    check_run_id,
    is_run,
    make_private_directory,
)
from .._core.playbook_command import build_playbook_command
from .._core.records import check_format, select_known_facts, write_record

_Parsed = TypeVar("_Parsed")

#: The lists of so many runs are kept, and beyond them those that are needed.
KEPT = 200
#: Lists beyond these that are examined at once: each run adds one, and what was needed then stays.
_EXAMINED = 20


@dataclass(frozen=True)
class Row:
    """One database of a list: its name, where it is, and the columns that its entry is made of."""

    name: str
    #: A digest of where it is.
    place: str
    values: Mapping[str, str]
    #: Why no entry can be made of it now, if so.
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


def format_now() -> str:
    """Return the present moment."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def read_lists_of_run(root: str, runs: Iterable[str]) -> dict[str, FoundList]:
    """Return the lists of the first of some runs that has any, by source.

    Raises:
        Refused: they are damaged, or a later version has written them.
    """
    for run in runs:
        if run and is_run(run):
            lists = _read_lists(_of_run(root, run))
            if lists:
                return lists
    return {}


def read_last_list(root: str, source: str) -> FoundList | None:
    """Return the last list of a source that was accepted, or None.

    Raises:
        Refused: it is damaged, or a later version has written it.
    """
    facts = _read(_locate_last(root, source))
    return None if facts is None else _parse(_locate_last(root, source), lambda: _list(facts, facts["rows"]))


def keep_lists(
    root: str,
    run: str,
    lists: Mapping[str, FoundList],
    new: Iterable[str],
    is_needed: Callable[[str], bool] = lambda _run: False,
) -> None:
    """Keep the lists of a run; those of some sources are the last ones of these from now on.

    Args:
        root: the folder of the host.
        run: the run.
        lists: by source.
        new: the sources whose lists are the last ones.
        is_needed: whether an old run may still be reverted or restored, so that its list stays.

    Raises:
        Refused: the folder cannot be made, the run id cannot be a file name, or a list that is there is damaged.
    """
    path = _of_run(root, run)
    make_private_directory(path.parent)
    sources = {name: [asdict(row) for row in found.rows] for name, found in lists.items()}
    before = {name: _read(_locate_last(root, name)) for name in new}
    facts: dict[str, Any] = {"run": run, "at": format_now(), "sources": sources, "before": before}
    write_record(path, facts, indent=1)
    for name in new:
        last = _locate_last(root, name)
        make_private_directory(last.parent)
        facts = {"run": run, "at": lists[name].at, "source": name, "rows": sources[name]}
        write_record(last, facts, indent=1)
    written = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime, reverse=True)
    for old in written[KEPT : KEPT + _EXAMINED]:
        if not is_needed(old.stem):
            old.unlink(missing_ok=True)


def forget_lists(root: str, run: str) -> None:
    """Forget the lists of a run that was refused before it began, and have the last ones be those before it.

    Those of a run that has begun with them stay: its journals are of these databases.
    """
    path = _of_run(root, run) if is_run(run) else None
    facts = _read(path) if path else None
    if not path or not facts or any(Layout(Path(root)).journals.glob(f"*/{run}.jsonl")):
        return
    for name, before in (facts.get("before") or {}).items():
        last = _locate_last(root, name)
        if before:
            write_record(last, before, indent=1)
        else:
            last.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def locate_lists(root: str, run: str) -> Path:
    """Return where the lists of a run are kept."""
    return _of_run(root, run)


def _read_lists(path: Path) -> dict[str, FoundList]:
    facts = _read(path)
    if facts is None:
        return {}
    return _parse(path, lambda: {name: _list(facts, rows) for name, rows in facts["sources"].items()})


def _list(facts: Mapping[str, Any], rows: list[Any]) -> FoundList:
    made = []
    rows.reverse()
    while rows:  # each is let go: there may be thousands
        made.append(Row(**select_known_facts(Row, rows.pop())))
    return FoundList(str(facts["run"]), str(facts["at"]), tuple(made))


def _of_run(root: str, run: str) -> Path:
    return Layout(Path(root)).discovered / "runs" / f"{check_run_id(run)}.json"


def _locate_last(root: str, source: str) -> Path:
    return Layout(Path(root)).discovered / "last" / f"{build_key(source)}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """Return what is in a file; None if there is none.

    Raises:
        LaterFormat: a later version has written it in a format of its own.
        Refused: it cannot be read. It was written whole, so something else has damaged it, and what it had is unknown.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _describe_damage(path, str(error)) from error
    return _parse(path, lambda: check_format(json.loads(text), path))


def _parse(path: Path, parse: Callable[[], _Parsed]) -> _Parsed:
    try:
        return parse()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _describe_damage(path, f"{type(error).__name__}: {error}") from error


def _describe_damage(path: Path, why: str) -> Refused:
    if path.parent.name == "last":
        accept = build_playbook_command("migrate", migrate_discover_accept="true")
        remedy = f"Put it back from a backup of the host, or check what the sources find, remove it and: {accept}"
    else:
        remedy = "Put it back from a backup of the host"
    return Refused(f"The list of found databases {path} cannot be read", why, remedy, code="discovery-list-damaged")
