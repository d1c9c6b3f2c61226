"""Others who use a database of MariaDB while it is migrated: their locks, their rows, their statements."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pymysql

from tests.faults.fault import MARIADB, fault
from tests.faults.mariadb import loaded
from tests.faults.mariadb_servers import server_of
from tests.faults.scene import PART, Scene
from tests.integration.targets import MariaDBTarget


def _target(scene: Scene) -> MariaDBTarget:
    assert isinstance(scene.target, MariaDBTarget)
    return scene.target


def _administrator(scene: Scene) -> Any:
    server = server_of(scene)
    return pymysql.connect(host=server.host, port=server.port, user=server.user, password=server.password)


def _held(words: str, *statements: str, administrator: bool = False) -> None:
    """Another session holds a lock as long as the run lasts."""

    @fault(words, ends="old", engines=MARIADB)
    def inject(scene: Scene) -> Iterator[None]:
        other = _administrator(scene) if administrator else _target(scene).connect()
        with closing(other), closing(other.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement.format(name=scene.target.name))
            scene.fails(migrate_backup_lock_wait=2)
        yield


_held("an idle transaction that has read the table", "SELECT * FROM item")
_held("an idle transaction that has locked the table for itself", "LOCK TABLES item WRITE")
_held("an idle transaction that has changed a row", "UPDATE item SET name = 'theirs' WHERE id = 2")
_held("an open HANDLER of the table", "HANDLER item OPEN", "HANDLER item READ FIRST")
_held("FLUSH TABLES WITH READ LOCK of an administrator", "FLUSH TABLES WITH READ LOCK", administrator=True)
_held("a backup of the whole server that blocks DDL", "BACKUP STAGE START", "BACKUP STAGE BLOCK_DDL",
      administrator=True)  # fmt: skip
_held("a backup of the whole server that blocks commits", "BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT",
      administrator=True)  # fmt: skip
_held(
    "another user of the server who has taken the name of the lock",
    "SELECT GET_LOCK(concat('hosting.alembic database ', substr(sha2('{name}', 256), 1, 32)), 0)",
    administrator=True,
)
_held(
    "another user of the server who has taken the name of the migration's lock",
    "SELECT GET_LOCK(concat('hosting.alembic migrating ', substr(sha2('{name}', 256), 1, 32)), 0)",
    administrator=True,
)


@fault("a query that takes longer than the migration waits", ends="old", engines=MARIADB)
def long_query(scene: Scene) -> Iterator[None]:
    with closing(_target(scene).connect()) as other:

        def query() -> None:
            try:
                other.cursor().execute("SELECT count(*), sleep(60) FROM item WHERE sleep(60) = 0")
            except pymysql.err.MySQLError:
                return  # it is ended when the run has ended

        thread = threading.Thread(target=query)
        thread.start()
        scene.fails()
        server_of(scene).execute(f"KILL {other.thread_id()}")
        thread.join()
    yield


def _meanwhile(words: str, statement: str, kept: str, *, upgrade: str = "", away: str = "") -> None:
    """Others execute a statement in mid-upgrade, and the revision fails: what they did is there, and not lost later.

    Args:
        words: for the table.
        statement: theirs.
        kept: a query that finds rows as long as nothing of theirs is lost.
        upgrade: what the revision does before that, else what only a restore takes away.
        away: what takes theirs away, where all else may be brought back around it; else the database has to be held.
    """

    @fault(words, ends="held old" if away else "held", engines=MARIADB)
    def inject(scene: Scene) -> Iterator[None]:
        target = _target(scene)
        raises = "if 'CLEAN' not in os.environ:\n    raise RuntimeError('fails on purpose')"
        scene.release(f"{upgrade or scene.leave()}\n{scene.stop_here()}\n{raises}")
        with scene.started() as running:
            # As the customer: what another user defines is for an administrator to make again.
            for each in statement.split("; "):
                target.rows(each)
            scene.gate.touch()
            scene.end(running)
        assert target.rows(kept), "what others did is lost"
        if scene.state() == "held":
            scene.assert_nothing_is_lost()
            scene.type_the_restore_command()
            assert _is_retained(scene, kept), "what others did is lost after the printed command"
            scene.ended = "held"
        elif away:
            server_of(scene).execute(away, target.name)
            scene.ended = scene.state()
        assert scene.state() == "old"
        scene.release()
        yield


def _is_retained(scene: Scene, query: str) -> bool:
    """Whether a query finds rows in what a restore has retained, or in a backup of the replaced database."""
    server = server_of(scene)
    names = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'hosting\\_alembic\\_%'"
    for (name,) in server.execute(names):
        # What makes a view again lies as a statement beside the tables.
        view = "SELECT 1 FROM hosting_alembic_state WHERE back LIKE '%VIEW `theirs`%'"
        if _finds(scene, query, name) or ("theirs" in query and _finds(scene, view, name)):
            return True
    for folder in scene.site.backups(scene.target.name):
        with loaded(_target(scene), folder / "dump.sql") as name:
            if _finds(scene, query, name):
                return True
    return False


def _finds(scene: Scene, query: str, schema: str) -> bool:
    try:
        return bool(server_of(scene).execute(query, schema))
    except RuntimeError:
        return False


#: Where AUTO_INCREMENT goes on is as it was then, too.
_NO_ROW = "DELETE FROM item WHERE id = 77; ALTER TABLE item AUTO_INCREMENT = 1"
_THEIR_ROW = "INSERT INTO item (id, name) VALUES (77, 'theirs')"
_meanwhile("others insert a row before a revision fails that has to be restored", _THEIR_ROW,
           "SELECT 1 FROM item WHERE id = 77", away=_NO_ROW)  # fmt: skip
_meanwhile("others change a row before a revision fails that has to be restored",
           "UPDATE item SET name = 'theirs' WHERE id = 2", "SELECT 1 FROM item WHERE name = 'theirs'")  # fmt: skip
_meanwhile("others insert a row before a revision fails that can be undone", _THEIR_ROW,
           "SELECT 1 FROM item WHERE id = 77", upgrade=PART, away=_NO_ROW)  # fmt: skip
_meanwhile("others insert a row into the new table of a revision that fails",
           "INSERT INTO part VALUES (77, 'theirs')", "SELECT 1 FROM part WHERE id = 77", upgrade=PART)  # fmt: skip
_meanwhile("others write into the new column of a revision that fails",
           "UPDATE item SET more = 'theirs' WHERE id = 2", "SELECT 1 FROM item WHERE more = 'theirs'",
           upgrade="op.add_column('item', sa.Column('more', sa.String(20)))")  # fmt: skip
_meanwhile("others make a table before a revision fails that has to be restored",
           "CREATE TABLE theirs (id int); INSERT INTO theirs VALUES (7)", "SELECT 1 FROM theirs",
           away="DROP TABLE theirs")  # fmt: skip
_meanwhile("others make a table before a revision fails that can be undone",
           "CREATE TABLE theirs (id int); INSERT INTO theirs VALUES (7)", "SELECT 1 FROM theirs",
           upgrade=PART, away="DROP TABLE theirs")  # fmt: skip
_meanwhile("others make a view before a revision fails that has to be restored",
           "CREATE VIEW theirs AS SELECT 7 AS seven", "SELECT 1 FROM theirs")  # fmt: skip
_meanwhile("others add a column before a revision fails that has to be restored",
           "ALTER TABLE item ADD COLUMN theirs int DEFAULT 7", "SELECT 1 FROM item WHERE theirs = 7")  # fmt: skip
