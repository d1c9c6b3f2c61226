# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of the verbs: what each column says of one database, and of several that are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .cells import format_heads, format_moment, format_seconds, render_backup
from .grouping import Column, build_longest_formatter, build_name_column, describe_backups
from .sizes import format_size

#: Outcomes that need a person; in check mode a database is refused as well.
IN_NEED = ("deferred", "failed", "held", "interrupted", "refused")
_VERDICTS = ("reversible", "lossy", "irreversible", "unknown")


def needs_person(entry: Result) -> bool:
    """Return whether what a verb did to a database needs a person."""
    return entry.get("outcome") in IN_NEED or bool(entry.get("error"))


def build_outcome_column(check_mode: bool) -> Column:
    """Return the column of how a database's turn has ended, or would end."""

    def of_one(entry: Result) -> str:
        outcome = str(entry["outcome"]).replace("_", " ") if check_mode else str(entry["outcome"])
        return f"would be {outcome}" if check_mode and outcome != "unchanged" else outcome

    return Column("OUTCOME", of_one)


def build_heads_column(heading: str, key: str) -> Column:
    """Return a column of revisions; it is empty where they do not apply."""
    return Column(heading, lambda entry: format_heads(entry[key]) if key in entry else "")


def build_backup_column(heading: str = "BACKUP") -> Column:
    """Return the column of where a backup is."""
    return Column(heading, render_backup, describe_backups)


def build_migration_columns(check_mode: bool) -> list[Column]:
    """Return the columns of an upgrade."""

    def is_upgraded(entry: Result) -> bool:
        return bool(entry["outcome"] == "upgraded")

    def format_outcome(entry: Result) -> str:
        return f"would be {entry['outcome']}" if check_mode and is_upgraded(entry) else str(entry["outcome"])

    def format_duration_of(entry: Result) -> str:
        return format_seconds(entry.get("seconds")) if is_upgraded(entry) and not check_mode else ""

    return [
        build_name_column(),
        Column("OUTCOME", format_outcome),
        Column("FROM", lambda entry: format_heads(entry.get("before")) if is_upgraded(entry) else ""),
        Column("TO", lambda entry: format_heads(entry.get("after"))),
        Column("REVISIONS", lambda entry: str(len(entry.get("applied", []))) if is_upgraded(entry) else ""),
        Column("TIME", format_duration_of, build_longest_formatter("seconds", format_duration_of)),
        build_backup_column(),
    ]


def build_backup_columns(check_mode: bool) -> list[Column]:
    """Return the columns of backups that were taken."""
    took = _build_seconds_reader("seconds")
    return [
        build_name_column(),
        build_outcome_column(check_mode),
        Column("REVISION", lambda entry: "" if check_mode else format_heads(entry.get("after"))),
        Column("TIME", took, build_longest_formatter("seconds", took)),
        build_backup_column(),
    ]


def build_failure_columns() -> list[Column]:
    """Return the columns of an upgrade that failed and what was reverted for it; ``back`` is the revert's result."""

    def find_reverted(entry: Result) -> Result:
        return entry["back"] or {}

    return [
        build_name_column(),
        Column("UPGRADE", lambda entry: str(entry["outcome"])),
        Column("REVERTED", lambda entry: str(find_reverted(entry).get("outcome", ""))),
        Column("REVISION", lambda entry: format_heads((entry["back"] or entry).get("after"))),
    ]


def build_leftover_columns() -> list[Column]:
    """Return the columns of what is retained of databases."""
    return [
        build_name_column(),
        Column("WHAT", lambda entry: str(entry["kind"])),
        Column("NAME", lambda entry: str(entry["place"]), lambda entries: f"{len(entries)} of them"),
        Column("AGE", lambda entry: _format_days(entry["days"]), _format_ages),
        Column(
            "SIZE",
            lambda entry: format_size(entry["size"]),
            lambda entries: format_size(sum(e["size"] or 0 for e in entries)),
        ),
        Column("OUTCOME", _describe_fate),
    ]


def _format_days(days: float | None) -> str:
    return "unknown" if days is None else f"{days:.0f} days"


def _format_ages(entries: Sequence[Result]) -> str:
    known = sorted(entry["days"] for entry in entries if entry["days"] is not None)
    return f"{known[0]:.0f} to {_format_days(known[-1])}" if known else "unknown"


def _describe_fate(leftover: Result) -> str:
    return f"{leftover['outcome']}: {leftover['reason']}" if leftover["reason"] else str(leftover["outcome"])


def build_rollback_columns(check_mode: bool) -> list[Column]:
    """Return the columns of a rollback."""
    return [
        build_name_column(),
        build_outcome_column(check_mode),
        Column("FROM", lambda entry: format_heads(entry.get("before"))),
        Column("TO", lambda entry: format_heads(entry.get("after"))),
        build_backup_column("BACKUP BEFORE"),
    ]


def restore_columns(check_mode: bool) -> list[Column]:
    """Return the columns of a restore."""
    return [
        build_name_column(),
        build_outcome_column(check_mode),
        build_heads_column("FROM", "before"),
        build_heads_column("TO", "after"),
        Column("BACKUP", lambda entry: str((entry.get("backup") or {}).get("path", "")), describe_backups),
        Column("REPLACED IS", lambda entry: str(entry.get("retained") or ""), lambda _entries: "retained"),
    ]


def build_recovery_columns() -> list[Column]:
    """Return the columns of what was recovered."""
    return [
        build_name_column(),
        Column("RUN", lambda entry: str(entry.get("of_run", ""))),
        Column("OUTCOME", lambda entry: str(entry["outcome"])),
        build_heads_column("REVISION", "after"),
    ]


def build_rehearsal_columns(check_mode: bool) -> list[Column]:
    """Return the columns of a rehearsal."""
    takes = _build_seconds_reader("expected_seconds")
    return [
        build_name_column(),
        build_outcome_column(check_mode),
        Column("FROM", lambda entry: format_heads(entry.get("before"))),
        Column("TO", lambda entry: format_heads(entry.get("goal")) if entry.get("goal") else ""),
        Column("DOWNGRADES", _describe_verdicts),
        Column("REAL RUN TAKES", takes, build_longest_formatter("expected_seconds", takes)),
        build_backup_column("RESTORED FROM"),
    ]


def build_status_columns() -> list[Column]:
    """Return the columns of a status."""
    return [
        build_name_column(),
        Column("REVISION", lambda entry: format_heads(entry["current"]) if entry["server"] else "unknown"),
        Column("PENDING", lambda entry: str(len(entry["pending"]))),
        Column("LAST RUN", lambda entry: str((entry["last_run"] or {}).get("run", "never"))),
        Column("OUTCOME", lambda entry: str((entry["last_run"] or {}).get("outcome", ""))),
        Column("LAST BACKUP", _describe_last_backup, _describe_oldest_backup),
        Column("SERVER", lambda entry: str(entry["server"])),
    ]


def has_trouble(entry: Result) -> bool:
    """Return whether a status needs a person."""
    return bool(entry["problems"]) or (entry["last_run"] or {}).get("outcome") in IN_NEED


def _describe_last_backup(entry: Result) -> str:
    backup = entry["last_backup"]
    return f"{format_moment(backup['taken'])} UTC" if backup else "none"


def _describe_oldest_backup(entries: Sequence[Result]) -> str:
    """Return when the oldest of the last backups was taken, and how many databases have none."""
    taken = sorted(entry["last_backup"]["taken"] for entry in entries if entry["last_backup"])
    without = len(entries) - len(taken)
    parts = [f"{format_moment(taken[0])} UTC or later"] if taken else []
    return ", ".join(parts + ([f"{without} have none"] if without else []))


def _build_seconds_reader(key: str) -> Callable[[Result], str]:
    return lambda entry: format_seconds(entry.get(key))


def _describe_verdicts(entry: Result) -> str:
    found = [step["verdict"] for step in entry.get("revisions", []) if entry.get("upgrade_seconds") is not None]
    return ", ".join(f"{found.count(verdict)} {verdict}" for verdict in _VERDICTS if verdict in found)
