"""What a comparison with the backup needs in memory does not grow with the database."""

from __future__ import annotations

import multiprocessing
import resource
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database as Entry
from ansible_collections.hosting.alembic.plugins.module_utils._engines.comparison import Comparison
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_write_tracker
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import Database
from tests.unit.stage import Host

MEGABYTE = 1 << 20
#: How long the text of a row is.
ROWS = {"wide": MEGABYTE, "of 64 kB": 1 << 16, "narrow": 1 << 9}
SIZES = (20 * MEGABYTE, 200 * MEGABYTE)

FILL = {
    "postgresql": "insert into page select n, repeat(md5(n::text), {length} / 32) from generate_series(1, {count}) n",
    "sqlite": "with recursive n (n) as (select 1 union all select n + 1 from n where n < {count})"
    " insert into page select n, replace(hex(zeroblob({length} / 32)), '00', substr('0000000000000000' || n, -16)"
    " || '0123456789abcdef') from n",
}


def execute(url: str, *statements: str) -> None:
    """Run statements, each committed, in a database of either engine."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            for statement in statements:
                file.execute(statement)
                file.commit()
        return
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


def compared(url: str, folder: Path) -> tuple[int, Comparison]:
    """Change one row of a database after its backup, compare, and return the peak of memory in kB."""
    entry = Entry.from_options({"name": "app", "url": url})
    folder.mkdir()
    engine = build_engine(entry, Host(folder / "root").job("downgrade", entry, run="r1", lock_wait=1))
    try:
        dump = engine.dump(folder, False, lambda _words: None)
        execute(url, "update page set text = 'other' where id = 17")
        archive = Archive(dump.path, [], None, frozenset(), dump.activity)
        written = WrittenRows([], frozenset(), archive.activity)
        found = find_write_tracker(engine).compare(archive, written, 1 << 40, lambda _words: None)
    finally:
        engine.close()
    of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_maxrss for who in of), found


@pytest.mark.parametrize(
    "rows", ["wide", *(pytest.param(rows, marks=pytest.mark.exhaustive) for rows in ("of 64 kB", "narrow"))]
)
@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_a_database_of_ten_times_the_size_needs_no_more_memory(
    engine: str, rows: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database: Database | None = request.getfixturevalue("postgres_database") if engine == "postgresql" else None
    url = database.url if database else f"sqlite:///{tmp_path}/app.db"
    peaks = []
    for size in SIZES:
        fill = FILL[engine].format(length=ROWS[rows], count=size // ROWS[rows])
        execute(url, "drop table if exists page", "create table page (id integer, text text)", fill)
        # In a process of its own: a peak is never forgotten.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            peak, found = pool.submit(compared, url, tmp_path / str(size)).result()
        assert [line for line in (*found.rows, *found.others) if "page" in line], found
        assert found.not_compared == []
        peaks.append(peak)

    assert peaks[1] < 1.5 * peaks[0], peaks
