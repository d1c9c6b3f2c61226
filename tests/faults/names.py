"""Names that shells, URLs, SQL and file systems each read in their own way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults import mariadb
from tests.faults.digest import digest
from tests.faults.fault import fault
from tests.faults.scene import Scene
from tests.integration.site import Site
from tests.integration.targets import MariaDBTarget, PostgresTarget, SQLiteTarget, Target
from tests.lab.shell import run

_HOSTILE = "../$(id)`id`; \"quoted\" 'x' 50% ü☃\n%s:b #?&@"
#: As long as PostgreSQL lets an identifier be.
_LONG = f"{'ü' * 10}{'l' * 43}"
#: As long as MariaDB lets one be: as many characters, of whatever size.
_LONG_ON_MARIADB = "ü" * 64
_TABLES = (_HOSTILE, _LONG)


@dataclass
class _Site(Site):
    """A host with one database, whatever folder its name leads to."""

    def backups(self, name: str) -> list[Path]:
        return super().backups(self._folder("backups", name))

    def events(self, name: str) -> list[dict[str, object]]:
        return super().events(self._folder("journals", name))

    def _folder(self, kind: str, name: str) -> str:
        return next((path.name for path in (self.root / kind).glob("*")), name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _with_hostile_tables(scene: Scene) -> None:
    """Put what must come back as it was beside the fixture's table."""
    within = ""
    if isinstance(scene.target, PostgresTarget):
        within = f"{_quoted(_HOSTILE)}."
        scene.target.rows(f"CREATE SCHEMA {_quoted(_HOSTILE)}")
    quoted = mariadb.quoted if isinstance(scene.target, MariaDBTarget) else _quoted
    for table in _TABLES:
        scene.target.rows(f"CREATE TABLE {within}{quoted(table)} ({quoted(_TABLES[0])} text)")
        literal = _HOSTILE.replace("'", "''")
        scene.target.rows(f"INSERT INTO {within}{quoted(table)} VALUES ('{literal}')")
    scene.old = digest(scene.target)


def _without(scene: Scene, clean: str) -> None:
    if isinstance(scene.target, PostgresTarget):
        scene.target.rows(f"DROP SCHEMA {_quoted(_HOSTILE)} CASCADE")
    else:
        quoted = mariadb.quoted if isinstance(scene.target, MariaDBTarget) else _quoted
        for table in _TABLES:
            scene.target.rows(f"DROP TABLE {quoted(table)}")
    scene.old = clean


def _left_and_failed(scene: Scene) -> None:
    """A revision that leaves something behind fails, so all has to come back from the backup."""
    clean = scene.old
    _with_hostile_tables(scene)
    scene.settings.update(migrate_databases=[scene.target.entry], migrate_root=scene.site.root)
    scene.release(f"{scene.leave()}\n{scene.raise_here()}")
    scene.fails()
    assert scene.state() == "old"
    assert "restored" in [event["event"] for event in scene.site.events(scene.target.name)]
    _without(scene, clean)
    scene.gate.touch()
    scene.release()


def _hostile(scene: Scene, name: str) -> None:
    """Call the database, its file and the folders of the host by a name."""
    # A URL ends at its question mark, and what is before it is taken as it is.
    root = scene.folder / re.sub(r"[/?]|\.\.", "", name) / "root"
    scene.site = _Site(scene.site.folder, {**scene.site.variables, "migrate_root": str(root)}, scene.site.exercised)
    target: Target = scene.target
    if isinstance(target, PostgresTarget):
        server, plain = target.database.server, target.database.name
        server.execute(f"ALTER DATABASE {_quoted(plain)} RENAME TO {_quoted(name)}")
        scene.kept.callback(server.execute, f"ALTER DATABASE {_quoted(name)} RENAME TO {_quoted(plain)}")
        scene.target = PostgresTarget(replace(target.database, name=name))
    elif isinstance(target, MariaDBTarget):
        # No statement renames a database.
        scene.target = scene.kept.enter_context(mariadb.named(target, name))
        scene.begin()
    else:
        assert isinstance(target, SQLiteTarget)
        root.parent.mkdir(parents=True, exist_ok=True)
        path = root.parent / f"{root.parent.name}.db"
        run(["mv", target.path, path])
        scene.target = SQLiteTarget(path, name)


@fault("hostile names of databases, schemas, tables, columns and paths", ends="old")
def hostile(scene: Scene) -> Iterator[None]:
    _hostile(scene, _HOSTILE)
    _left_and_failed(scene)
    yield


@fault("names as long as may be", ends="old")
def long(scene: Scene) -> Iterator[None]:
    _hostile(scene, _LONG_ON_MARIADB if isinstance(scene.target, MariaDBTarget) else _LONG)
    _left_and_failed(scene)
    yield
