"""An application that writes while a run is rolled back: what was acknowledged to it is in the database or a backup."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.targets import MariaDBTarget, PostgresTarget, SQLiteTarget
from tests.integration.test_later_writes import ITEM, Application
from tests.lab.waiting import wait_until
from tests.unit.stage import Answer, Host

DROP = "op.drop_table('item')"


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Application:
    target: SQLiteTarget | PostgresTarget | MariaDBTarget = request.getfixturevalue(request.param)
    if isinstance(target, SQLiteTarget):
        target.path.touch()
    return Application(Host(tmp_path / "root"), target)


#: Writes one number after the other, and prints those that were acknowledged.
WRITER = """
import sys, time
import sqlalchemy as sa
engine = sa.create_engine(sys.argv[1], poolclass=sa.pool.NullPool)
for number in range(100, 100_000):
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(sys.argv[2].format(number)))
    except sa.exc.SQLAlchemyError:
        pass  # locked, or gone: then it is not acknowledged
    else:
        print(number, flush=True)
    time.sleep(0.02)
"""


class Writer:
    """Another process that writes, and the ledger of what was acknowledged to it."""

    def __init__(self, application: Application, table: str) -> None:
        values = "{}, null" if table == "item" else "{}"
        statement = f"INSERT INTO {table} VALUES ({values})"
        url = application.target.url.replace("postgresql://", "postgresql+psycopg2://")
        self._command = [sys.executable, "-c", WRITER, url, statement]
        self._path = application.host.layout.root.parent / "ledger"

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._path.open("w") as ledger, subprocess.Popen(self._command, stdout=ledger) as process:
            try:
                wait_until(lambda: self.ledger, "the first write")
                yield
            finally:
                process.terminate()

    @property
    def ledger(self) -> set[int]:
        return {int(line) for line in self._path.read_text().splitlines(keepends=True) if line.endswith("\n")}


def roll_back(application: Application, run: str = "r2") -> Answer:
    return application.do("rollback", run, of_run="r1")


def numbers(application: Application, table: str, column: str) -> set[Any]:
    return {number for (number,) in application.target.rows(f"SELECT {column} FROM {table}")}


def test_a_rollback_does_not_drop_what_is_written_since_its_backup(application: Application) -> None:
    application.ship((ITEM, DROP))
    assert application.do("upgrade")["outcome"] == "upgraded"
    writer = Writer(application, "item")

    with writer.writing():
        done = roll_back(application)

    if done["outcome"] != "downgraded":  # it is where none of the writes came between
        assert (done["outcome"], done["error"]["code"]) == ("failed", "rollback-failed"), done["error"]
        assert application.target.revisions == ["0001"]
        assert writer.ledger <= numbers(application, "item", "id")
        # As the message says: once the application is stopped.
        done = roll_back(application, "r3")
    assert (done["outcome"], application.target.tables()) == ("downgraded", ["mine"])
    application.do("restore", "r4", backup=done["backup"]["path"], restore_loses_writes=True)
    assert writer.ledger <= numbers(application, "item", "id")


def test_what_is_written_elsewhere_meanwhile_stays_and_holds_no_rollback(application: Application) -> None:
    application.ship((ITEM, DROP), ("op.create_table('other', sa.Column('n', sa.Integer()))", "op.drop_table('other')"))
    assert application.do("upgrade")["outcome"] == "upgraded"
    writer = Writer(application, "mine")

    with writer.writing():
        done = roll_back(application)

    assert done["outcome"] == "downgraded", done["error"]
    assert application.target.revisions == []
    assert writer.ledger <= numbers(application, "mine", "a")


def test_what_several_downgrades_write_themselves_holds_nothing(application: Application) -> None:
    fills = "op.execute(\"INSERT INTO item VALUES (1, 'ours')\")"
    application.ship((ITEM, DROP), (fills, "op.execute('DELETE FROM item')"), ("pass", fills.replace("1", "2")))
    assert application.do("upgrade")["outcome"] == "upgraded"

    done = roll_back(application)

    assert (done["outcome"], application.target.tables()) == ("downgraded", ["mine"]), done
