"""An application that writes while a run is rolled back: what was acknowledged to it is in the database or a backup."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.targets import MariaDBTarget, PostgresTarget, SQLiteTarget, Target
from tests.integration.test_later_writes import ITEM, Application, by_another_session
from tests.lab.waiting import wait_until
from tests.unit.stage import Answer, Host

DROP = "op.drop_table('item')"


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Application:
    target: SQLiteTarget | PostgresTarget | MariaDBTarget = request.getfixturevalue(request.param)
    if isinstance(target, SQLiteTarget):
        target.path.touch()
    return Application(Host(tmp_path / "root"), target)


class Writer:
    """Writes one number after the other into a table, and keeps those that were acknowledged."""

    def __init__(self, target: Target, table: str) -> None:
        self._target = target
        self._statement = f"INSERT INTO {table} VALUES ({{}}{', null' if table == 'item' else ''})"
        self._done = threading.Event()
        self.ledger: list[int] = []

    @contextmanager
    def writing(self) -> Iterator[None]:
        thread = threading.Thread(target=self._write)
        thread.start()
        try:
            wait_until(lambda: bool(self.ledger), "the first write")
            yield
        finally:
            self._done.set()
            thread.join()

    def _write(self) -> None:
        number = 100
        while not self._done.wait(0.02):
            with suppress(Exception):  # locked, or gone: then it is not acknowledged
                self._target.rows(self._statement.format(number))
                self.ledger.append(number)
            number += 1


def roll_back(application: Application, run: str = "r2") -> Answer:
    return application.do("rollback", run, of_run="r1")


def numbers(application: Application, table: str, column: str) -> set[Any]:
    return {number for (number,) in application.target.rows(f"SELECT {column} FROM {table}")}


def test_a_rollback_does_not_drop_what_is_written_since_its_backup(application: Application) -> None:
    application.ship((ITEM, DROP))
    assert application.do("upgrade")["outcome"] == "upgraded"
    writer = Writer(application.target, "item")

    with writer.writing():
        refused = roll_back(application)

    assert (refused["outcome"], refused["error"]["code"]) == ("failed", "rollback-failed"), refused["error"]
    assert application.target.revisions == ["0001"]
    assert set(writer.ledger) <= numbers(application, "item", "id")

    # As the message says: once the application is stopped.
    done = roll_back(application, "r3")
    assert (done["outcome"], application.target.tables()) == ("downgraded", ["mine"])
    application.do("restore", "r4", backup=done["backup"]["path"], restore_loses_writes=True)
    assert set(writer.ledger) <= numbers(application, "item", "id")


def test_what_is_written_elsewhere_meanwhile_stays_and_holds_no_rollback(application: Application) -> None:
    application.ship((ITEM, DROP), ("op.create_table('other', sa.Column('n', sa.Integer()))", "op.drop_table('other')"))
    assert application.do("upgrade")["outcome"] == "upgraded"
    writer = Writer(application.target, "mine")

    with writer.writing():
        done = roll_back(application)

    assert done["outcome"] == "downgraded", done["error"]
    assert application.target.revisions == []
    assert set(writer.ledger) <= numbers(application, "mine", "a")


@pytest.mark.parametrize("application", ["sqlite", "mariadb"], indirect=True)
def test_what_is_written_while_a_downgrade_runs_is_not_dropped(application: Application) -> None:
    """No lock keeps others out there, so it is read before each statement."""
    theirs = "INSERT INTO item VALUES (7, 'theirs')"
    if isinstance(application.target, MariaDBTarget):
        url = application.target.url
        other = f"c = sa.create_engine({url!r}).connect(); c.execute(sa.text({theirs!r})); c.commit(); c.close()"
        writes = f"exec({other!r})"
    else:
        writes = by_another_session(application.target, theirs)
    application.ship((ITEM, f"{writes}; {DROP}"))
    assert application.do("upgrade")["outcome"] == "upgraded"

    refused = roll_back(application)

    assert (refused["outcome"], refused["error"]["code"]) == ("held", "others-wrote"), refused
    assert application.target.revisions == ["0001"]
    assert application.target.rows("SELECT * FROM item") == [(7, "theirs")]


def test_what_several_downgrades_write_themselves_holds_nothing(application: Application) -> None:
    fills = "op.execute(\"INSERT INTO item VALUES (1, 'ours')\")"
    application.ship((ITEM, DROP), (fills, "op.execute('DELETE FROM item')"), ("pass", fills.replace("1", "2")))
    assert application.do("upgrade")["outcome"] == "upgraded"

    done = roll_back(application)

    assert (done["outcome"], application.target.tables()) == ("downgraded", ["mine"]), done
