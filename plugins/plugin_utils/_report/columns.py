# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of the verbs: what each column says of one database, and of several that are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .cells import heads, moment, render_backup, seconds
from .grouping import Column, backups_together, longest, name_column
from .sizes import size

#: Outcomes that need a person; in check mode a database is refused as well.
IN_NEED = ("deferred", "failed", "held", "interrupted", "refused")
_VERDICTS = ("reversible", "lossy", "irreversible", "unknown")


def needs_person(entry: Result) -> bool:
    """Return whether what a verb did to a database needs a person."""
    return entry.get("outcome") in IN_NEED or bool(entry.get("error"))


def outcome_column(check_mode: bool) -> Column:
    """Return the column of how a database's turn has ended, or would end."""

    def of_one(entry: Result) -> str:
        outcome = str(entry["outcome"]).replace("_", " ") if check_mode else str(entry["outcome"])
        return f"would be {outcome}" if check_mode and outcome != "unchanged" else outcome

    return Column("OUTCOME", of_one)


def heads_column(heading: str, key: str) -> Column:
    """Return a column of revisions; it is empty where they do not apply."""
    return Column(heading, lambda entry: heads(entry[key]) if key in entry else "")


def backup_column(heading: str = "BACKUP") -> Column:
    """Return the column of where a backup is."""
    return Column(heading, render_backup, backups_together)


def migration_columns(check_mode: bool) -> list[Column]:
    """Return the columns of an upgrade."""

    def upgraded(entry: Result) -> bool:
        return bool(entry["outcome"] == "upgraded")

    def outcome(entry: Result) -> str:
        return f"would be {entry['outcome']}" if check_mode and upgraded(entry) else str(entry["outcome"])

    def took(entry: Result) -> str:
        return seconds(entry.get("seconds")) if upgraded(entry) and not check_mode else ""

    return [
        name_column(),
        Column("OUTCOME", outcome),
        Column("FROM", lambda entry: heads(entry.get("before")) if upgraded(entry) else ""),
        Column("TO", lambda entry: heads(entry.get("after"))),
        Column("REVISIONS", lambda entry: str(len(entry.get("applied", []))) if upgraded(entry) else ""),
        Column("TIME", took, longest("seconds", took)),
        backup_column(),
    ]


def backup_columns(check_mode: bool) -> list[Column]:
    """Return the columns of backups that were taken."""
    took = _seconds_of("seconds")
    return [
        name_column(),
        outcome_column(check_mode),
        Column("REVISION", lambda entry: "" if check_mode else heads(entry.get("after"))),
        Column("TIME", took, longest("seconds", took)),
        backup_column(),
    ]


def failure_columns() -> list[Column]:
    """Return the columns of an upgrade that failed and what was reverted for it; ``back`` is the revert's result."""

    def reverted(entry: Result) -> Result:
        return entry["back"] or {}

    return [
        name_column(),
        Column("UPGRADE", lambda entry: str(entry["outcome"])),
        Column("REVERTED", lambda entry: str(reverted(entry).get("outcome", ""))),
        Column("REVISION", lambda entry: heads((entry["back"] or entry).get("after"))),
    ]


def leftover_columns() -> list[Column]:
    """Return the columns of what is retained of databases."""
    return [
        name_column(),
        Column("WHAT", lambda entry: str(entry["kind"])),
        Column("NAME", lambda entry: str(entry["place"]), lambda entries: f"{len(entries)} of them"),
        Column("AGE", lambda entry: _days(entry["days"]), _ages),
        Column("SIZE", lambda entry: size(entry["size"]), lambda entries: size(sum(e["size"] or 0 for e in entries))),
        Column("OUTCOME", _fate),
    ]


def _days(days: float | None) -> str:
    return "unknown" if days is None else f"{days:.0f} days"


def _ages(entries: Sequence[Result]) -> str:
    known = sorted(entry["days"] for entry in entries if entry["days"] is not None)
    return f"{known[0]:.0f} to {_days(known[-1])}" if known else "unknown"


def _fate(leftover: Result) -> str:
    return f"{leftover['outcome']}: {leftover['reason']}" if leftover["reason"] else str(leftover["outcome"])


def rollback_columns(check_mode: bool) -> list[Column]:
    """Return the columns of a rollback."""
    return [
        name_column(),
        outcome_column(check_mode),
        Column("FROM", lambda entry: heads(entry.get("before"))),
        Column("TO", lambda entry: heads(entry.get("after"))),
        backup_column("BACKUP BEFORE"),
    ]


def restore_columns(check_mode: bool) -> list[Column]:
    """Return the columns of a restore."""
    return [
        name_column(),
        outcome_column(check_mode),
        heads_column("FROM", "before"),
        heads_column("TO", "after"),
        Column("BACKUP", lambda entry: str((entry.get("backup") or {}).get("path", "")), backups_together),
        Column("REPLACED IS", lambda entry: str(entry.get("retained") or ""), lambda _entries: "retained"),
    ]


def recovery_columns() -> list[Column]:
    """Return the columns of what was recovered."""
    return [
        name_column(),
        Column("RUN", lambda entry: str(entry.get("of_run", ""))),
        Column("OUTCOME", lambda entry: str(entry["outcome"])),
        heads_column("REVISION", "after"),
    ]


def rehearsal_columns(check_mode: bool) -> list[Column]:
    """Return the columns of a rehearsal."""
    takes = _seconds_of("expected_seconds")
    return [
        name_column(),
        outcome_column(check_mode),
        Column("FROM", lambda entry: heads(entry.get("before"))),
        Column("TO", lambda entry: heads(entry.get("goal")) if entry.get("goal") else ""),
        Column("DOWNGRADES", _verdicts),
        Column("REAL RUN TAKES", takes, longest("expected_seconds", takes)),
        backup_column("RESTORED FROM"),
    ]


def status_columns() -> list[Column]:
    """Return the columns of a status."""
    return [
        name_column(),
        Column("REVISION", lambda entry: heads(entry["current"]) if entry["server"] else "unknown"),
        Column("PENDING", lambda entry: str(len(entry["pending"]))),
        Column("LAST RUN", lambda entry: str((entry["last_run"] or {}).get("run", "never"))),
        Column("OUTCOME", lambda entry: str((entry["last_run"] or {}).get("outcome", ""))),
        Column("LAST BACKUP", _last_backup, _oldest_backup),
        Column("SERVER", lambda entry: str(entry["server"])),
    ]


def has_trouble(entry: Result) -> bool:
    """Return whether a status needs a person."""
    return bool(entry["problems"]) or (entry["last_run"] or {}).get("outcome") in IN_NEED


def _last_backup(entry: Result) -> str:
    backup = entry["last_backup"]
    return f"{moment(backup['taken'])} UTC" if backup else "none"


def _oldest_backup(entries: Sequence[Result]) -> str:
    """Return when the oldest of the last backups was taken, and how many databases have none."""
    taken = sorted(entry["last_backup"]["taken"] for entry in entries if entry["last_backup"])
    without = len(entries) - len(taken)
    parts = [f"{moment(taken[0])} UTC or later"] if taken else []
    return ", ".join(parts + ([f"{without} have none"] if without else []))


def _seconds_of(key: str) -> Callable[[Result], str]:
    return lambda entry: seconds(entry.get(key))


def _verdicts(entry: Result) -> str:
    found = [step["verdict"] for step in entry.get("revisions", []) if entry.get("upgrade_seconds") is not None]
    return ", ".join(f"{found.count(verdict)} {verdict}" for verdict in _VERDICTS if verdict in found)
