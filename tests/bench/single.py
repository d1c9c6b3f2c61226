"""One database: what the safety steps add to Alembic, what a backup costs, and how long others wait for a lock."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2

from . import filled
from .histories import alembic_project
from .host import Host
from .many import Place, files, mariadb, server
from .measure import Comparison, Contender, Difference, Ratio, take_turns

REVISIONS = 20
#: Large enough that starting programs does not decide.
BACKED_UP = 400 << 20
#: How long another session's transaction stays open once the migration waits for it.
HELD = 8.0
#: How often the application queries.
EVERY = 0.02


def safety(folder: Path, turns: int) -> list[Comparison]:
    """Compare plan and upgrade, less the backup's own seconds, with a bare `alembic upgrade head`."""
    comparisons: list[Comparison] = []
    folder.mkdir()
    host = Host.ship(folder, alembic_project(folder / "project", REVISIONS))
    for place_of in (files, server, mariadb):
        with place_of(folder) as place:
            comparisons.append(_safety(host, place, turns))
    return comparisons


def _safety(host: Host, place: Place, turns: int) -> Difference:
    urls: dict[str, str] = {}

    def prepare(kind: str, turn: int) -> None:
        [urls[kind]] = place.make([f"{kind}_{turn}"])
        host.alembic("upgrade", "r0002", urls[kind])

    def upgrade(turn: int) -> float:
        name = f"{place.name}-{turn}".lower()
        begun = time.perf_counter()
        host.do("plan", name, urls["ours"])
        result = host.ended("upgraded", "upgrade", name, urls["ours"])
        return time.perf_counter() - begun - float(result["backup"]["seconds"])

    ours = Contender("plan and upgrade without the backup", upgrade, lambda turn: prepare("ours", turn))
    theirs = Contender(
        "alembic upgrade head",
        lambda _turn: host.alembic("upgrade", "head", urls["theirs"]),
        lambda turn: prepare("theirs", turn),
    )
    take_turns([ours, theirs], turns)
    what = f"all safety steps but the backup, on one {place.name} database, {REVISIONS - 2} revisions behind"
    return Difference(f"{what}, beside bare Alembic", ours, theirs, place.most_more)


def backup(folder: Path, turns: int) -> list[Comparison]:
    """Compare a proven backup without row counts with a bare pg_dump of the same database and options."""
    folder.mkdir()
    host = Host.ship(folder, filled.failing_project(folder / "project"))
    with filled.server(folder) as store:
        store.fill(host, BACKED_UP)
        url = store.url("full")

        def back_up(turn: int) -> float:
            name = f"backup-{turn}"
            host.ended("backed_up", "backup", name, url, row_counts_limit=0)
            at = {event["event"]: datetime.fromisoformat(event["at"]) for event in host.events(name)}
            host.forget(name)
            return (at["backed_up"] - at["locked"]).total_seconds()

        def dump(_turn: int) -> None:
            store.dump("full", folder / "dump")

        ours = Contender("our backup", back_up)
        theirs = Contender("pg_dump", dump, lambda _turn: shutil.rmtree(folder / "dump", ignore_errors=True))
        take_turns([ours, theirs], turns)
    what = f"a proven backup of {BACKED_UP >> 20} MB, row counts off, beside pg_dump with the same options"
    return [Ratio(what, ours, theirs, 1.1)]


def waiting(folder: Path, turns: int) -> list[Comparison]:
    """Compare the worst query of an application while a migration waits for an idle transaction."""
    folder.mkdir()
    host = Host.ship(folder, alembic_project(folder / "project", 2))
    urls: dict[str, str] = {}
    with server(folder) as place:

        def prepare(kind: str, turn: int) -> None:
            [urls[kind]] = place.make([f"{kind}_{turn}"])
            host.alembic("upgrade", "r0001", urls[kind])

        def upgrade(turn: int) -> float:
            url = urls["ours"]
            return _worst_query(url, lambda: host.ended("upgraded", "upgrade", f"waiting-{turn}", url))

        def bare(_turn: int) -> float:
            url = urls["theirs"]
            return _worst_query(url, lambda: host.alembic("upgrade", "head", url))

        ours = Contender("beside our upgrade", upgrade, lambda turn: prepare("ours", turn))
        theirs = Contender("beside alembic upgrade head", bare, lambda turn: prepare("theirs", turn))
        take_turns([ours, theirs], turns)
    what = f"the application's worst query while a migration waits for a transaction that is idle for {HELD:g} s more"
    return [Ratio(f"{what}, beside the same with bare Alembic", ours, theirs, 1)]


def _worst_query(url: str, migrate: Callable[[], object]) -> float:
    """Migrate against an idle transaction, and return the longest that the application waited for an answer."""
    with closing(_session(url)) as idle, _application(url) as waits, ThreadPoolExecutor(1) as thread:
        _query(idle)  # its transaction stays open
        migration = thread.submit(migrate)
        try:
            with closing(_session(url)) as looker:
                looker.autocommit = True
                while not migration.done() and not _a_session_waits(looker):
                    time.sleep(EVERY)
            wait([migration], timeout=HELD)
        finally:
            idle.rollback()
        migration.result()
    return max(waits)


@contextmanager
def _application(url: str) -> Iterator[list[float]]:
    """Query again and again in a thread; yield how long each answer took."""
    waits: list[float] = []
    leave = threading.Event()

    def query() -> None:
        with closing(_session(url)) as session:
            session.autocommit = True
            while not leave.wait(EVERY):
                begun = time.perf_counter()
                _query(session)
                waits.append(time.perf_counter() - begun)

    with ThreadPoolExecutor(1) as thread:
        requesting = thread.submit(query)
        try:
            yield waits
        finally:
            leave.set()
            requesting.result()


def _session(url: str) -> Any:
    return psycopg2.connect(url.replace("+psycopg2", ""))


def _query(session: Any) -> None:
    with session.cursor() as cursor:
        cursor.execute("select count(*) from t0001")


def _a_session_waits(session: Any) -> bool:
    with session.cursor() as cursor:
        cursor.execute("select from pg_locks where not granted and mode = 'AccessExclusiveLock'")
        return cursor.fetchone() is not None
