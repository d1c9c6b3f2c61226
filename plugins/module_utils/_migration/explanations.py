# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Explanations of env.py's errors, in words that lead to the line or the file that caused them."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import CORRECT_IT, Refused
from .._engines.connection import find_sqlstate

if TYPE_CHECKING:
    from .._core.job import Database

#: duplicate_table, duplicate_object, duplicate_schema, duplicate_column, duplicate_function
_THERE_ALREADY = ("42P07", "42710", "42P06", "42701", "42723")
_WORDS_OF_THERE_ALREADY = re.compile(r"already exists|duplicate column name|already another table or index")
#: The code of an env.py that leads elsewhere than its entry.
OTHER_DATABASE = "env-py-other-database"
_LARGEST = 100_000  # bytes of a file that is searched for a variable


def describe_missing_package(error: BaseException) -> str:
    """Return what to do where the release's virtualenv lacks a module; nothing for another error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    return (
        f"Add the package that brings {error.name.partition('.')[0]!r} to the requirements or to migrate_packages."
        " Where it is a module of the application, ship that in migrate_source and name its folder in prepend_sys_path"
    )


def build_env_py_refusal(name: str, source: Path, error: BaseException) -> Refused:
    """Return the refusal for what env.py raised, with the line of the release that was the last to run."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if source in path.parents:
            place = f", in {path.relative_to(source)} line {frame.lineno}"
    reads = "Correct it, or give it what it reads: url_variables, environment, x_arguments, migrate_setup"
    remedy = describe_missing_package(error) or reads
    if "database is locked" in str(error):
        remedy = (
            "Run again when no other program has the file locked. Where env.py sets PRAGMA locking_mode = EXCLUSIVE for"
            " a file in WAL mode, leave that out: it keeps out the connection that watches for others' writes"
        )
    return Refused(
        f"env.py failed for {name!r}", f"{type(error).__name__}: {error}{place}", remedy, code="env-py-failed"
    )


def build_unreachable_refusal(name: str, target: str, heads: list[str], error: Exception) -> Refused:
    """Return the refusal for what Alembic raised about revisions."""
    words = str(error)
    if "Multiple head revisions" in words:
        return Refused(
            f"The release has several heads, and {target!r} names only one",
            f"they are {', '.join(heads)}",
            "Set migrate_target to heads, to branch@head, or merge them",
            code="several-heads",
        )
    unknown = re.search(r"Can't locate revision identified by '([^']+)'", words)
    if unknown and unknown[1] not in target:
        return Refused(
            f"Database {name!r} is at a revision that this release does not know",
            words,
            "Set migrate_source to the directory that the revision came from, or a newer one",
            code="revision-unknown",
        )
    return Refused(
        f"Target {target!r} cannot be reached in database {name!r}",
        words,
        "Check migrate_target",
        code="target-unreachable",
    )


def describe_elsewhere(
    database: Database, source: Path, url: str, found: object, expected: object, engines: list[str]
) -> Refused:
    """Return the refusal for an env.py that connects to another database, with what sent it there.

    Args:
        database: the entry.
        source: the folder of the release.
        url: what env.py was given.
        found: where it leads.
        expected: where the entry leads.
        engines: what env.py calls its databases, if it has several.
    """
    replaced = [name for name in database.url_variables if os.environ.get(name) != url]
    remedy = "Let env.py take its URL from sqlalchemy.url, or name its variable in url_variables"
    why = f"it connects to {found}, and the url leads to {expected}"
    if engines and not database.engine_name:
        why += f"; it migrates several: {', '.join(engines)}"
        remedy = "Give each of them an entry, whose engine_name is the name that it has there"
    if replaced:
        why += f"; {replaced[0]} was set anew{_describe_files_setting(source, replaced[0])}"
        remedy = (
            f"Let what env.py has in {replaced[0]} already go before what it reads from a file (load_dotenv() does)"
        )
    return Refused(
        f"env.py does not connect to the database that {database.name!r} names",
        why,
        remedy,
        code=OTHER_DATABASE,
    )


def of_several(refusal: Refused, name: str) -> Refused:
    """Return such a refusal for an env.py that migrates several databases, with what it calls the one it began with."""
    return Refused(
        refusal.what,
        f"{refusal.why}; it migrates several, and calls this one {name}",
        "Give each of them an entry, whose engine_name is the name that it has there",
        code=OTHER_DATABASE,
    )


def _describe_files_setting(source: Path, variable: str) -> str:
    """Return which files of the release set a variable, without their text, which may hold secrets."""
    assignment = re.compile(rf"^\s*(?:export\s+)?{re.escape(variable)}\s*[=:]", re.MULTILINE)
    files = sorted([*source.glob(".env*"), *source.glob("*.env"), *source.glob("*/.env*")])
    small = [path for path in files if path.is_file() and path.stat().st_size < _LARGEST]
    found = [str(path.relative_to(source)) for path in small if assignment.search(_read_text(path))]
    return f" by {', '.join(found)}" if found else ""


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def choose_advice(error: BaseException | None, at_base: bool) -> str:
    """Return what to do about a revision that failed."""
    return (at_base and advise_stamping(error)) or (error is not None and describe_missing_package(error)) or CORRECT_IT


def advise_stamping(error: BaseException | None) -> str:
    """Return what to do where a revision at the base makes what is there already; nothing for another error."""
    if error is not None and (find_sqlstate(error) in _THERE_ALREADY or _WORDS_OF_THERE_ALREADY.search(str(error))):
        return (
            "If the tables were made without Alembic, record the revision they are at with `alembic stamp REVISION`"
            " on the host, with the same URL, environment and x_arguments, and run again; else correct it"
        )
    return ""


def explain_ended_process(how: str) -> str:
    """Return what to do where the process ended in which env.py ran; how is "it ended by signal 9", for example."""
    if "signal 9" in how:
        return (
            "Type `journalctl --dmesg --grep 'Out of memory'` on the host: the kernel ends processes where memory runs"
            " out. Give it more, or set migrate_workers to 1"
        )
    return (
        "See what env.py and the modules that it imports call for an upgrade: nothing there may end the process, as"
        " os._exit() and a crash in a library do"
    )


def explain_open_transaction(environment: Any) -> tuple[str, str]:
    """Return why nothing was committed although env.py raised nothing, and what to do about it."""
    if environment.in_transaction_of_env:
        return (
            "env.py executes a statement before configure(), which begins a transaction that is never committed",
            "Commit that transaction before context.configure(), or open it with `with connectable.begin()`",
        )
    return (
        "env.py has taken back what was committed, or did not commit it",
        "See what env.py does after run_migrations()",
    )
