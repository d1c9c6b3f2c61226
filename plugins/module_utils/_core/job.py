# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The job of a verb, as plain data that crosses from a module to the virtualenv's process."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from time import monotonic
from typing import Any

from .errors import Refused
from .paths import Layout
from .secrets import COMMANDS


@dataclass(frozen=True)
class Database:
    """One thing to migrate, as the inventory names it."""

    name: str
    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    direct_url: str | None = field(default=None, repr=False)
    admin_url: str | None = field(default=None, repr=False)
    admin_password: str | None = field(default=None, repr=False)
    rehearse_url: str | None = field(default=None, repr=False)
    rehearse_password: str | None = field(default=None, repr=False)
    #: The one schema of a PostgreSQL database that this is, which others share; none, all of the database.
    schema: str = ""
    target: str | None = None
    #: The user that env.py runs as; none named, the owner of a SQLite file where root was given.
    run_as: str = ""
    url_variables: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    x_arguments: tuple[str, ...] = field(default=(), repr=False)
    #: What env.py calls it, where that is made from Alembic's template for several databases.
    engine_name: str = ""
    #: Why nothing can be done with it: it was found, and what was found of it is not an entry.
    problem: str = ""
    #: The code of that.
    problem_code: str = ""

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Database:
        """Make a database from the options of a module, whose names it shares."""
        known = {key: options[key] for key in (f.name for f in fields(cls)) if options.get(key) is not None}
        for key in ("url_variables", "x_arguments"):
            known[key] = tuple(known.get(key, ()))
        variables = known.get("environment") or {}
        known["environment"] = {str(key): _as_text(str(key), value, known["name"]) for key, value in variables.items()}
        return cls(**known)


def _as_text(variable: str, value: Any, database: str) -> str:
    """Return the value of an environment variable as a shell would have it; YAML reads 5432 as a number.

    Raises:
        Refused: it is a list or a dictionary.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    if isinstance(value, (str, int, float)):
        return str(value)
    raise Refused(
        f"The environment of database {database!r} cannot be set",
        f"the value of {variable} is not text but a {type(value).__name__}",
        "Write it in quotes, as the program will read it",
        code="environment-invalid",
    )


@dataclass(frozen=True)
class Job:
    """One call of one verb. Times are seconds, sizes are bytes."""

    verb: str
    root: str
    databases: tuple[Database, ...] = ()
    release: str = ""
    run: str = ""
    of_run: str = ""
    target: str = "head"
    alembic_options: dict[str, str] = field(default_factory=dict)
    setup: str = ""
    #: As a database's own, which goes before it.
    run_as: str = ""
    workers: int = 2
    lock_timeout: float = 2
    lock_wait: float = 300
    database_wait: float = 900
    statement_timeout: float = 0
    plan_timeout: float = 60
    backup_jobs: int = 2
    backup_compression: int = 6
    backup_lock_wait: float = 60
    backup_keep: int = 5
    backup_keep_days: int = 30
    row_counts_limit: int = 1 << 30
    compare_limit: int = 10 << 30
    #: Of MariaDB: lock, while they are dumped, or refuse.
    nontransactional_tables: str = "lock"
    pg_bin: str = ""
    #: auto, downgrade, restore or hold.
    on_failure: str = "auto"
    #: auto, swap or in_place.
    restore_method: str = "auto"
    restore_loses_writes: bool = False
    #: The path of a backup; empty for the newest, or that of ``of_run``.
    backup: str = ""
    retry_failed: Any = False
    #: The names of held databases whose rows a person has compared with their backup.
    accept_rows: tuple[str, ...] = ()
    on_changed_history: str = "warn"
    #: An age recipient, or the path of a file with age recipients or an OpenPGP public key.
    backup_encrypt_to: str = ""
    #: A directory on this host, or controller:/a/directory/there.
    backup_copy_to: str = ""
    backup_copy_command: tuple[str, ...] = ()
    backup_command: tuple[str, ...] = ()
    backup_check_command: tuple[str, ...] = ()
    restore_command: tuple[str, ...] = ()
    #: How long each of these commands may take; 0 for ever.
    command_timeout: float = 14400
    #: No other database is begun after so many seconds by a verb that is called again for the rest; 0 for never.
    begin_for: float = 0
    prune: bool = False
    prune_days: float = 30
    retained_days: float = 14
    #: Leave records of databases at head for the next plan; a mere plan leaves none.
    remember: bool = False
    #: Say what would be done, for the verb that has no other way to foresee it.
    check: bool = False
    #: The end of the window in UTC, in words; ``time_left`` are the seconds until then, None for no deadline.
    deadline: str = ""
    time_left: float | None = None
    #: The same by the monotonic clock of this host, once the work has begun.
    ends_at: float | None = None
    window_margin: float = 300
    window_override: str = ""
    verify_only: tuple[str, ...] = ()
    #: The databases that were there when the upgrade was planned.
    existed: tuple[str, ...] = ()
    #: The databases to revert; none named, all that the run has upgraded.
    only: tuple[str, ...] = ()
    #: Why upgrades of this run that were verified are reverted all the same.
    rejected: str = ""
    #: Statements of health checks: each with its number, its database and its sql.
    statements: tuple[dict[str, Any], ...] = ()
    #: The database that goes before the others, which are not begun if it fails.
    canary: str = ""
    require_rehearsal: bool = False
    #: Whether a plan is one of a rehearsal, so that it needs a place for a copy.
    rehearses: bool = False
    rehearsal_max_age: float = 86400
    #: Which findings of a rehearsal make it a failed one: lossy, irreversible, again, models.
    rehearsal_fails_on: tuple[str, ...] = ()
    follow: float = 3.5
    cursor: dict[str, int] = field(default_factory=dict)
    attach: bool = False
    #: A folder that is not there yet because only shipping makes it; a plan made before that knows better.
    shipping_makes: str = ""

    @property
    def layout(self) -> Layout:
        """Return the folders of this job's root."""
        return Layout(Path(self.root))

    def locate_journal(self, database: str) -> Path:
        """Return the journal that this job writes of a database.

        Raises:
            Refused: the run id cannot be a file name.
        """
        place = self.layout.locate_rehearsal if self.verb == "rehearse" else self.layout.locate_journal
        return place(database, self.run)

    @classmethod
    def from_options(cls, verb: str, options: dict[str, Any]) -> Job:
        """Make a job from a module's options; options that the virtualenv's process does not know are left out."""
        known = {key: options[key] for key in (f.name for f in fields(cls)) if options.get(key) is not None}
        known["databases"] = tuple(Database.from_options(entry) for entry in known.get("databases", ()))
        for key in ("verify_only", "existed", "only", "rehearsal_fails_on", "statements", *COMMANDS):
            known[key] = tuple(known.get(key, ()))
        known["verb"] = verb
        return cls(**known)


def start_deadline(job: Job) -> Job:
    """Return a job with the moment by this host's monotonic clock at which the time that it was given is over."""
    return job if job.time_left is None else replace(job, ends_at=monotonic() + job.time_left)


def count_seconds_left(job: Job) -> float | None:
    """Return the seconds that are left, less than nothing if the deadline is over, None if there is none."""
    return None if job.ends_at is None else job.ends_at - monotonic()


def is_over(job: Job) -> bool:
    """Return whether there was a deadline and it has passed."""
    seconds = count_seconds_left(job)
    return seconds is not None and seconds <= 0
