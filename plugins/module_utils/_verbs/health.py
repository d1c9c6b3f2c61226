# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The statements of health checks, executed in a database over a connection that changes nothing."""

from __future__ import annotations

import os
from typing import Any

from .._core.argument_specs import Options
from .._core.errors import Refused
from .._core.job import Database, Job
from .._core.processes import redirect_output, run_in_processes
from .._core.results import Answer, StatementFacts
from .._engines.connection import describe_error
from .._engines.registry import build_engine
from .._engines.sql import escape_colons
from .._engines.sqlalchemy_import import sa
from .._migration.preload import warm


def list_statements(job: Job, database: Database) -> list[Options]:
    """Return the statements to execute in a database; those without a name are for each."""
    return [statement for statement in job.statements if statement["database"] in ("", database.name)]


def run_statements(database: Database, job: Job) -> dict[int, StatementFacts]:
    """Return for each statement, by its number, the rows or the error."""
    try:
        engine = build_engine(database, job)
        if not engine.is_present():
            return {statement["number"]: {"error": "it is not there"} for statement in list_statements(job, database)}
        own = engine.open_own_connection()
        own.query_rows(engine.only_reads)
    except (Refused, sa.exc.SQLAlchemyError) as error:
        why = str(error) if isinstance(error, Refused) else describe_error(error)
        return {statement["number"]: {"error": why} for statement in list_statements(job, database)}
    found: dict[int, StatementFacts] = {}
    for statement in list_statements(job, database):
        try:
            # A colon is a colon here: the statement has no parameters.
            rows = own.query_rows(escape_colons(statement["sql"]))
            found[statement["number"]] = {"rows": [[_as_plain(value) for value in row] for row in rows]}
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, the check has not passed
            found[statement["number"]] = {"error": describe_error(error)}
    return found


def _as_plain(value: Any) -> Any:
    """Return a value as JSON has it; a decimal or a date is text."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def health(job: Job) -> Answer:
    """Say what each statement of a health check returns, or why it returns nothing."""
    queried = [database for database in job.databases if list_statements(job, database)]
    found: dict[int, list[Answer]] = {}

    def handle_answer(database: Database, answer: Any) -> None:
        for statement in list_statements(job, database):
            values = {"error": str(answer)} if isinstance(answer, Exception) else answer[statement["number"]]
            found.setdefault(statement["number"], []).append({"database": database.name, **values})

    def query_database(database: Database) -> Any:
        redirect_output(os.devnull)
        return run_statements(database, job)

    warm(job, queried)
    run_in_processes(queried, job.workers, query_database, job.plan_timeout, handle_answer)
    return {"found": found}
