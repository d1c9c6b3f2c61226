# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maintenance of one host: its application is stopped while its databases change, and starts again whatever happens.

What was stopped is recorded before the first stop, so that the next run can end what a dead run has begun.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._core.argument_specs import Options
from .._core.errors import Failed, Refused
from .._core.paths import Layout, lock_folder, make_private_directory, sync
from .._core.playbook_command import build_playbook_command
from .._core.results import Answer
from .._core.urls import can_be_pooled
from .._journal.events import format_now
from .maintenance_record import Maintenance, read_record, record_of, write_record
from .pgbouncer import PgBouncer, list_pools, parse_place, strip_password
from .services import Service


def begin(options: Options, *, check: bool = False) -> Answer:
    """Put the flag file up, stop the services in their order, pause the pools.

    Raises:
        Refused: something could not be stopped for certain; nothing was.
        Failed: something did not stop; what had been stopped until then is written down.
    """
    layout = Layout(Path(options["root"]))
    services = [Service.of(entry) for entry in options["services"]]
    with _hold_lock(layout, check):
        found = read_record(layout) or Maintenance(format_now())
        running = [service for service in services if service.is_running()]
        flag = _choose_flag(options["file"])
        console, pools = _list_pools_to_pause(options)
        found.runs = [*(run for run in found.runs if run != options["run"]), options["run"]]
        found.databases = sorted({*found.databases, *options["names"]})
        known = [service["name"] for service in found.services]
        found.services += [service.as_facts() for service in running if service.name not in known]
        found.started = [name for name in found.started if name not in [service.name for service in running]]
        found.file = found.file or flag
        found.pgbouncer = found.pgbouncer or (strip_password(options["pgbouncer_url"]) if pools else "")
        found.pools = sorted({*found.pools, *pools})
        found.resumed = [pool for pool in found.resumed if pool not in pools]
        done = [*([flag] if flag else []), *(service.name for service in running), *pools]
        if not check:
            write_record(found, layout)
            if flag:
                _raise_flag(Path(flag))
            for service in running:
                service.halt()
            for pool in pools:
                _build_console(options, found).pause(pool) if console else None
        return {"changed": bool(done), "done": done, "maintenance": found.as_facts(layout)}


def end(options: Options, *, check: bool = False) -> Answer:
    """Undo what a maintenance has done, the last first, unless a database is where no application may use it.

    Raises:
        Failed: a part of it could not be undone; that stays written down, and the flag file stays up.
    """
    layout = Layout(Path(options["root"]))
    if read_record(layout) is None:
        return {"changed": False, "done": [], "maintenance": None}
    with _hold_lock(layout, check):
        found = read_record(layout)
        if found is None:
            return {"changed": False, "done": [], "maintenance": None}
        facts = found.as_facts(layout)
        if facts["kept_by"] and not options["force"]:
            return {"changed": False, "done": [], "maintenance": facts}
        done = [*found.pools, *(service["name"] for service in reversed(found.services))]
        ends = options["state"] == "ended"
        done += [found.file] if found.file and ends else []
        if not check:
            _undo(found, options, layout)
            facts = {**found.as_facts(layout, ended=True), "kept_by": []}
        return {"changed": bool(done) or ends, "done": done, "maintenance": {**facts, "ended": ends}}


def build_diff(state: str, done: list[str]) -> dict[str, str]:
    """Return what runs before and after, as Ansible's diff."""
    runs, stopped = ("".join(f"{name}: {word}\n" for name in done) for word in ("as ever", "in maintenance"))
    return {"before": runs, "after": stopped} if state == "begun" else {"before": stopped, "after": runs}


def _undo(found: Maintenance, options: Options, layout: Layout) -> None:
    problems: list[Refused] = []
    for pool in list(found.pools):
        try:
            _resume(_build_console(options, found), pool)
            found.pools.remove(pool)
            found.resumed.append(pool)
        except Refused as problem:
            problems.append(problem)
    for facts in reversed(list(found.services)):
        try:
            Service.of(facts).launch()
            found.services.remove(facts)
            found.started.insert(0, facts["name"])
        except Refused as problem:
            problems.append(problem)
    if problems:
        write_record(found, layout)
        what = f"The maintenance of run {found.runs[-1]} has not ended"
        why = "; ".join(str(problem).rstrip(".") for problem in problems)
        raise Failed(
            what, why, f"Correct that, then: {build_playbook_command('recover')}", code="maintenance-not-ended"
        )
    if options["state"] == "started":
        write_record(found, layout)
        return
    if found.file:
        Path(found.file).unlink(missing_ok=True)
    record_of(layout).unlink()
    sync(layout.root)


def _resume(console: PgBouncer, pool: str) -> None:
    if console.read_databases().get(pool):
        console.resume(pool)


def _build_console(options: Options, found: Maintenance) -> PgBouncer:
    """Return the console that was written down; its password is not, so it comes from the inventory."""
    url = options["pgbouncer_url"]
    if not url or parse_place(url) != parse_place(found.pgbouncer):
        url = found.pgbouncer
    return PgBouncer(url, options["pgbouncer_password"] or "", options["pg_bin"], options["pgbouncer_timeout"])


def _list_pools_to_pause(options: Options) -> tuple[PgBouncer | None, list[str]]:
    if not options["pgbouncer_url"]:
        return None, []
    console = PgBouncer(
        options["pgbouncer_url"], options["pgbouncer_password"] or "", options["pg_bin"], options["pgbouncer_timeout"]
    )
    entries = [entry for entry in options["databases"] if entry["name"] in options["names"]]
    entries = [entry for entry in entries if can_be_pooled(entry["url"])]
    if not entries:
        return None, []
    known = console.read_databases()
    return console, [pool for pool in list_pools(entries, console, options["pgbouncer_databases"]) if not known[pool]]


def _choose_flag(name: str) -> str:
    """Return the flag file unless it is up already: then an operator has put it there, and takes it down."""
    if not name or Path(name).exists():
        return ""
    folder = Path(name).parent
    if not folder.is_dir():
        raise Refused(
            f"The maintenance file {name} cannot be made",
            f"there is no folder {folder}",
            f"mkdir -p {folder}",
            code="maintenance-file-not-made",
        )
    if not os.access(folder, os.W_OK):
        raise Refused(
            f"The maintenance file {name} cannot be made",
            f"{folder} may not be written",
            "Set become: true for the host, or name a file in another folder in migrate_maintenance_file",
            code="maintenance-file-not-made",
        )
    return name


def _raise_flag(path: Path) -> None:
    """Make the flag file, which the web server's user has to see."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    os.close(descriptor)


@contextmanager
def _hold_lock(layout: Layout, check: bool) -> Iterator[None]:
    """Let one at a time begin or end."""
    if check:
        yield
        return
    make_private_directory(layout.root)
    with lock_folder(layout.root):
        yield
