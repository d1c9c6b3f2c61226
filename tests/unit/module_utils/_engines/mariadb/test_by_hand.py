"""What an administrator types where a database's user may not restore it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import NOT_PERMITTED
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import engine_for
from ansible_collections.hosting.alembic.plugins.module_utils._engines.restorers import restorer_of
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_restore import schemas_beside
from tests.unit.stage import in_process


def engine_of(database: MariaDatabase) -> Any:
    """Return the engine with the rights of a customer."""
    return engine_for(Database("app", database.url), Job.from_options("upgrade", {"root": "/nowhere"}))


def test_the_printed_grants_let_a_customer_restore(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute(
        "create table items (id int primary key); insert into items values (1);"
        "create trigger of_superuser before insert on items for each row set @a = 1"
    )
    before = mariadb_database.dump()

    def prepare() -> tuple[Any, str, Archive]:
        engine = engine_of(mariadb_database)
        dump = engine.dump(tmp_path, True, lambda _: None)
        rights = restorer_of(engine).rights_for_restore()
        assert rights is not None
        archive = Archive(dump.path, [], dump.row_counts, frozenset(), dump.activity)
        return engine.restore_method().obstacle.code, rights[0], archive

    def restore() -> Any:
        return restorer_of(engine_of(mariadb_database)).restore(archive, "run", lambda _: None, lambda: None)

    code, command, archive = in_process(prepare)
    mariadb_database.execute("alter table items add column more int")
    assert code == NOT_PERMITTED
    with refused(NOT_PERMITTED):
        in_process(restore)

    words = shlex.split(command)
    assert words[0] == "mariadb"
    (statements,) = [word.removeprefix("--execute=") for word in words if word.startswith("--execute=")]
    mariadb_database.server.execute(statements)
    in_process(restore)
    assert mariadb_database.dump() == before
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"drop database `{name}`")


def test_the_printed_command_brings_a_dump_back_and_keeps_what_it_replaces(
    mariadb_database: MariaDatabase, tmp_path: Path
) -> None:
    mariadb_database.execute("create table items (id int primary key); insert into items values (1)")
    before = mariadb_database.dump()

    def prepare() -> str:
        engine = engine_of(mariadb_database)
        return restorer_of(engine).command_by_hand(engine.dump(tmp_path, True, lambda _: None).path)

    command = in_process(prepare)
    mariadb_database.execute("insert into items values (2); create table made (id int)")
    # The password is what a person types; root of this server has none.
    typed = command.replace("--password", f"--no-defaults --socket={mariadb_database.server.socket}")
    typed = typed.replace("--user=root --no-defaults", "--no-defaults --user=root")
    subprocess.run(["sh", "-c", typed.replace(f"--host={mariadb_database.server.host}", "")], check=True)
    assert mariadb_database.dump() == before
    (kept,) = tmp_path.glob("*replaced*")
    assert "(2)" in kept.read_text()
