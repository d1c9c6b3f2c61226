# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The messages to and from a process that runs env.py, as plain data: what comes from there is nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import Failed
from .._core.job import Database, Job
from .._core.revisions import Revision, Stream
from .._core.secrets import COMMANDS, FOR_ADMIN
from .._engines.connection import describe_error, find_sqlstate
from .._engines.data import Content, Writes, WrittenRows
from .._engines.parts import find_rehearser, find_write_tracker
from .explanations import explain_ended_process
from .step import Step

if TYPE_CHECKING:
    from .._core.channel import Channel
    from .._engines.interface import Engine

_LONGEST = 10_000


def split_error(error: BaseException) -> tuple[str, str]:
    """Return the words of an exception, without what SQLAlchemy appends, and its SQLSTATE."""
    text = str(getattr(error, "orig", None) or error).strip()
    return (text or describe_error(error))[:_LONGEST], find_sqlstate(error)


def process_ended(name: str, how: str) -> Failed:
    """Return that the process ended which ran env.py for a database."""
    return Failed(
        f"The process that ran env.py for {name!r} ended",
        how,
        explain_ended_process(how),
        code="env-py-ended",
    )


def collect_database_facts(database: Database) -> dict[str, Any]:
    """Return the entry of a database as env.py's process gets it."""
    return {name: value for name, value in asdict(database).items() if name not in FOR_ADMIN}


def collect_job_facts(job: Job) -> dict[str, Any]:
    """Return a job without its databases and the users' commands, which may have passwords among their words."""
    return {each.name: getattr(job, each.name) for each in fields(job) if each.name not in ("databases", *COMMANDS)}


def collect_step_facts(step: Step) -> dict[str, Any]:
    """Return a step without its exception."""
    found = {each.name: getattr(step, each.name) for each in fields(step) if each.name != "error"}
    return {**found, "replaced": sorted(step.replaced)}


def put_into(step: Step, facts: dict[str, Any]) -> Step:
    """Take what the other process says of a step."""
    step.seconds = float(facts["seconds"])
    step.began = float(facts["began"])
    step.ran, step.wrote_early = bool(facts["ran"]), bool(facts["wrote_early"])
    step.has_savepoints, step.is_open = bool(facts["has_savepoints"]), bool(facts["is_open"])
    step.wrote = {str(table): int(count) for table, count in facts["wrote"].items()}
    step.transactions, step.span = list(map(int, facts["transactions"])), list(map(int, facts["span"]))
    step.used = {str(int(number)): int(count) for number, count in facts["used"].items()}
    step.reads = {str(int(number)): int(count) for number, count in facts["reads"].items()}
    step.written = {str(int(number)): int(count) for number, count in facts["written"].items()}
    step.held = {str(kind): convert_texts(held) for kind, held in facts["held"].items()}
    step.replaced = set(convert_texts(facts["replaced"]))
    step.unseen, step.permanent = convert_texts(facts["unseen"]), convert_texts(facts["permanent"])
    step.catalog_rows = load_rows(facts["catalog_rows"])
    return step


def load_rows(facts: dict[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    """Return rows of catalogs by transaction, catalog and writer."""
    return {
        str(int(number)): {
            str(catalog): {str(writer): int(count) for writer, count in rows.items()}
            for catalog, rows in catalogs.items()
        }
        for number, catalogs in facts.items()
    }


def load_step(facts: dict[str, Any]) -> Step:
    """Return a step from its facts."""
    return put_into(Step(str(facts["table"]), str(facts["revision"]), str(facts["message"])), facts)


def convert_texts(values: Iterable[Any] | None) -> list[str]:
    """Return a list of text."""
    return [str(value) for value in values or ()]


def load_stream(facts: dict[str, Any]) -> Stream:
    """Return a stream from ``asdict``."""
    pending = tuple(Revision(str(each["revision"]), str(each["message"])) for each in facts["pending"])
    found = {name: tuple(convert_texts(facts[name])) for name in ("heads", "goal", "unexpanded")}
    return Stream(str(facts["table"]), found["heads"], pending, found["goal"], found["unexpanded"])


def pack_written_rows(written_rows: WrittenRows) -> dict[str, Any]:
    """Return what a run has written as data."""
    found = {each.name: getattr(written_rows, each.name) for each in fields(written_rows)}
    plain = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in found.items()}
    return {**plain, "kept_in": str(written_rows.kept_in) if written_rows.kept_in else None}


def unpack_written_rows(facts: dict[str, Any]) -> WrittenRows:
    """Return what a run has written from its data."""
    kinds = {each.name: "frozenset" in str(each.type) for each in fields(WrittenRows)}
    whole: dict[str, Any] = {name: frozenset(value) if kinds[name] else value for name, value in facts.items()}
    return WrittenRows(**{**whole, "kept_in": Path(str(facts["kept_in"])) if facts["kept_in"] else None})


class RemoteConnection:
    """The connection of env.py, in another process: what is read over it is read there."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def read_fingerprint(self, leave_out: frozenset[str]) -> list[str]:
        """Return the schema as env.py's transaction sees it."""
        return convert_texts(self._channel.call("read_fingerprint", sorted(leave_out)))

    def read_contents(self, leave_out: frozenset[str], in_full: bool) -> dict[str, Content]:
        """Return the rows as env.py's transaction sees them."""
        found = self._channel.call("read_contents", sorted(leave_out), in_full)
        return {
            str(table): Content(int(rows), str(digest), {str(name): str(of) for name, of in columns.items()})
            for table, (rows, digest, columns) in found.items()
        }

    def find_final_writes(self, written_rows: WrittenRows) -> Writes:
        """Return what others wrote, and keep them out until env.py's transaction ends."""
        tables, unknown = self._channel.call("find_final_writes", pack_written_rows(written_rows))
        return Writes({str(table): int(count) for table, count in tables.items()}, str(unknown))


def read_fingerprint_on(engine: Engine, connection: Any, leave_out: frozenset[str]) -> list[str]:
    """Read the schema over env.py's connection, wherever this is."""
    if isinstance(connection, RemoteConnection):
        return connection.read_fingerprint(leave_out)
    return engine.read_fingerprint(connection, leave_out)


def read_contents_on(engine: Engine, connection: Any, leave_out: frozenset[str], in_full: bool) -> dict[str, Content]:
    """Read the rows over env.py's connection, wherever this is."""
    if isinstance(connection, RemoteConnection):
        return connection.read_contents(leave_out, in_full)
    return find_rehearser(engine).read_contents(connection, leave_out, in_full)


def find_final_writes_on(engine: Engine, connection: Any, written_rows: WrittenRows) -> Writes:
    """Read over env.py's connection, wherever this is, what others wrote, and keep them out."""
    if isinstance(connection, RemoteConnection):
        return connection.find_final_writes(written_rows)
    return find_write_tracker(engine).find_final_writes(connection, written_rows)
