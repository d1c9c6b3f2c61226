"""Definitions that the user of a restore may not make again: known before anything moves, and never a dead end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import HALF_WAY, NOT_PERMITTED, Failed
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import swap
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.scripts import NotMade
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import failed, refused
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_restore import archive_of, schemas_beside
from tests.unit.stage import in_process


@pytest.fixture
def owned(mariadb_database: MariaDatabase) -> Iterator[MariaDatabase]:
    """A database whose user may restore it, and nothing else."""
    server, name = mariadb_database.server, mariadb_database.name
    server.execute(f"grant all on `hosting\\_alembic\\_%`.* to '{name}'@'%'; create database other_{name}")
    server.execute("create table precious (id int)", f"other_{name}")
    mariadb_database.execute("create table t (id int primary key, n int); insert into t values (1, 1)")
    yield mariadb_database
    for schema in (f"other_{name}", *schemas_beside(mariadb_database)):
        server.execute(f"set foreign_key_checks = 0; drop database if exists `{schema}`")


def engine_as_user(database: MariaDatabase) -> Any:
    root = str(database.server.folder / "root")
    return build_engine(Database("app", database.url), Job.from_options("upgrade", {"root": root}))


def restore_as_user(database: MariaDatabase, archive: Any) -> Any:
    return in_process(
        lambda: find_restorer(engine_as_user(database)).restore(archive, "run", lambda _: None, lambda: None)
    )


def lock_as_user(database: MariaDatabase) -> None:
    in_process(lambda: engine_as_user(database).lock(5, lambda _: None).release())


@pytest.mark.parametrize(
    ("made", "dropped"),
    [
        ("create view v as select id from t", "drop view v"),
        ("create trigger r before insert on t for each row set @a = 1", "drop trigger r"),
        ("create trigger r before insert on t for each row set @a = 1", "drop table t"),
        ("create procedure p() select 1", "drop procedure p"),
        ("create event e on schedule every 1 day do select 1", "drop event e"),
    ],
)
def test_nothing_is_moved_where_the_backup_has_another_definer(
    owned: MariaDatabase, tmp_path: Path, made: str, dropped: str
) -> None:
    owned.execute(made)
    archive = archive_of(owned, tmp_path)
    owned.execute(f"create table made (id int); {dropped}")
    now = owned.dump()
    with refused(NOT_PERMITTED, owned.server.user):
        restore_as_user(owned, archive)
    assert owned.dump() == now
    assert schemas_beside(owned) == []
    lock_as_user(owned)


def test_what_the_server_never_takes_is_left_to_a_person_once(owned: MariaDatabase, tmp_path: Path) -> None:
    """A view of the user's own that reads what he may not read."""
    owned.execute(f"create definer = '{owned.user}'@'%' view v as select id from other_{owned.name}.precious")
    old = owned.dump()
    archive = archive_of(owned, tmp_path)
    owned.execute("alter table t add column c int; drop view v")
    with failed(HALF_WAY) as caught:
        restore_as_user(owned, archive)
    (script,) = (Path(word) for word in str(caught.value).split() if word.endswith(".sql"))
    assert script.stat().st_mode & 0o077 == 0
    assert owned.execute("select * from t") == [["1", "1"]]
    assert [name for name in schemas_beside(owned) if "_new_" in name] == []
    lock_as_user(owned)
    owned.execute(script.read_text(encoding="utf-8"))
    lock_as_user(owned)
    assert owned.dump() == old


def test_what_may_be_made_the_next_time_is_ended_by_the_next_run(
    owned: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned.execute(f"create definer = '{owned.user}'@'%' view v as select id from t")
    old = owned.dump()
    archive = archive_of(owned, tmp_path)
    owned.execute("alter table t add column c int; drop view v")

    def failing(_engine: Any, pieces: list[bytes]) -> None:
        why = "ERROR 1205 (HY000) at line 1: Lock wait timeout exceeded"
        raise NotMade(Failed("no", why, code="client-program-failed"), pieces)

    monkeypatch.setattr(swap, "run_pieces", failing)
    with failed(HALF_WAY, "the restore that is printed", "1205"):
        restore_as_user(owned, archive)
    with failed(HALF_WAY, "the restore that is printed", "1205"):
        lock_as_user(owned)
    monkeypatch.undo()
    lock_as_user(owned)
    assert owned.dump() == old
