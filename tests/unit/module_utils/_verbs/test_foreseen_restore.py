"""What check mode says of a restore is what the restore then does, and saying it changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.codes import assert_error
from tests.lab.fixtures import Database as Postgres
from tests.unit.stage import Host, database, names, sql

Setting = AbstractContextManager[None]


def agreed(host: Host, entry: Database, **requested: Any) -> dict[str, Any]:
    """Foresee a restore, restore, and return the result; both say the same, and the first leaves no trace."""
    folder = host.layout.locate_journals(entry.name)
    before = names(folder)
    (foreseen,) = host.do("foresee_restore", entry, run="r2", **requested)["results"]
    assert set(names(folder)) <= set(before)  # the worker of the backup may still be tidying up
    done = host.result("restore", entry, run="r2", lock_wait=1, **requested)

    assert foreseen["outcome"] == done["outcome"], (foreseen, done)
    printed, found = foreseen.get("error") or {}, done.get("error") or {}
    assert printed.get("what") == found.get("what"), (printed, found)
    return done


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        yield


@contextmanager
def damaged(host: Host) -> Iterator[None]:
    (dump,) = (host.layout.locate_backups("app") / "r1").glob("*.sqlite3")
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
    yield


@pytest.fixture
def filled(host: Host, file: Path) -> Path:
    """A file at the first revision with a backup of it."""
    host.ship("generic")
    host.result("upgrade", database(file), run="r0", target="0001")
    sql(file, "insert into item (id, name) values (1, 'one')")
    host.result("backup", database(file), run="r1")
    return file


@pytest.mark.parametrize(
    ("outcome", "what", "setting"),
    [
        ("restored", "", lambda _host, _file: nullcontext()),
        (
            "refused",
            "would lose what others wrote",
            lambda _host, file: nullcontext(sql(file, "insert into item values (2, 'two')")),
        ),
        ("failed", "is damaged", lambda host, _file: damaged(host)),
        ("failed", "is in use", lambda _host, file: locked(file)),
        ("restored", "", lambda _host, file: nullcontext(file.unlink())),
    ],
    ids=["nobody", "others", "damaged", "in use", "deleted"],
)
def test_a_file(host: Host, filled: Path, outcome: str, what: str, setting: Callable[[Host, Path], Setting]) -> None:
    with setting(host, filled):
        done = agreed(host, database(filled), lock_timeout=0.2)

    assert done["outcome"] == outcome
    assert what in str(done.get("error"))


def test_a_backup_that_is_not_there(host: Host, filled: Path) -> None:
    assert_error(agreed(host, database(filled), of_run="r7")["error"], "backup-not-found", "r7")


def test_what_others_wrote_may_be_lost_on_purpose(host: Host, filled: Path) -> None:
    sql(filled, "insert into item values (2, 'two')")

    assert agreed(host, database(filled), restore_loses_writes=True)["outcome"] == "restored"
    assert sql(filled, "select id from item") == [(1,)]


@contextmanager
def session(postgres: Postgres, *, owner: bool) -> Iterator[None]:
    """A session is connected, and has written through another connection before."""
    url = postgres.url if owner else postgres.server.url(postgres.name)
    with closing(psycopg2.connect(url)) as connection:
        connection.cursor().execute("select 1")
        yield


@pytest.mark.parametrize(
    ("outcome", "what", "method", "prepare", "owner"),
    [
        ("restored", "", "in_place", "", True),
        ("refused", "would lose what others wrote", "in_place", "insert into item values (2, 'two')", True),
        ("refused", "would lose what others wrote", "in_place", "select txid_current()", False),
        ("refused", "cannot be restored by its user", "in_place", "create table strange (id integer)", True),
        ("refused", "cannot be restored by a swap", "swap", "", True),
        ("restored", "", "swap", "alter role {name} createdb", True),
        ("refused", "is in use, so it cannot be replaced", "swap", "alter role {name} createdb", False),
    ],
)
def test_a_database_of_postgresql(
    host: Host,
    postgres_database: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    outcome: str,
    what: str,
    method: str,
    prepare: str,
    owner: bool,
) -> None:
    monkeypatch.setattr(
        "ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.restore_swap._PATIENCE", 1
    )
    entry = Database("app", postgres_database.url)
    host.ship("generic")
    host.result("upgrade", entry, run="r0", target="0001")
    host.result("backup", entry, run="r1")
    if prepare:
        postgres_database.execute(prepare.format(name=postgres_database.name))

    with session(postgres_database, owner=owner):
        done = agreed(host, entry, restore_method=method)

    assert done["outcome"] == outcome
    assert what in str(done.get("error"))


def test_a_backup_of_another_database(host: Host, postgres_database: Postgres) -> None:
    entry = Database("app", postgres_database.url)
    host.ship("generic")
    host.result("upgrade", entry, run="r0", target="0001")
    host.result("backup", entry, run="r1")
    postgres_database.server.drop_database(postgres_database.name)
    postgres_database.server.create_database(postgres_database.name, owner=postgres_database.user)
    postgres_database.execute(f'set role "{postgres_database.user}"; create table mine (id integer)')

    done = agreed(host, entry)

    assert_error(done["error"], "others-wrote")
    assert postgres_database.execute("select count(*) from mine") == [["0"]]
