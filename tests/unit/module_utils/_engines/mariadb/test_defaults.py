"""What new tables of a database get comes back with a restore, before its routines are made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.restorers import restorer_of
from tests.lab.fixtures import MariaDatabase
from tests.unit.module_utils._engines.mariadb.test_restore import OBJECTS, archive_of, engine_of, schemas_beside
from tests.unit.stage import in_process


def _archive(database: MariaDatabase, folder: Path) -> Archive:
    """Return a proven dump with the fingerprint that a backup has."""

    def read() -> list[str]:
        engine = engine_of(database)
        own = engine.own()
        return list(own.run(lambda connection: engine.fingerprint(connection, frozenset())))

    return replace(archive_of(database, folder), fingerprint=in_process(read))


def _defaults(database: MariaDatabase) -> list[list[str]]:
    return database.server.execute(
        "select default_character_set_name, default_collation_name from information_schema.schemata"
        f" where schema_name = '{database.name}'"
    )


def test_a_restore_brings_the_defaults_of_the_database_back(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute(OBJECTS)
    archive, before, defaults = (
        _archive(mariadb_database, tmp_path),
        mariadb_database.dump(),
        _defaults(mariadb_database),
    )
    mariadb_database.execute(
        "alter database character set latin1; drop procedure one; alter table texts add column c int"
    )
    changed = _defaults(mariadb_database)
    assert changed != defaults

    def fail() -> None:
        raise RuntimeError("on purpose")

    def restore(guard: Any) -> Any:
        return restorer_of(engine_of(mariadb_database)).restore(archive, "run", lambda _: None, guard)

    def refused() -> bool:
        with pytest.raises(Exception, match="on purpose"):
            restore(fail)
        return True

    assert in_process(refused)
    assert _defaults(mariadb_database) == changed

    in_process(lambda: restore(lambda: None))
    assert _defaults(mariadb_database) == defaults
    assert mariadb_database.dump() == before
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"set foreign_key_checks = 0; drop database `{name}`")
