"""Database servers that crash, end sessions, or turn clients away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing

from tests.faults.digest import digest
from tests.faults.fault import POSTGRESQL, fault
from tests.faults.scene import Scene, wait_until
from tests.integration.targets import PostgresTarget
from tests.lab.postgres import PostgresServer


def _postgres(scene: Scene) -> PostgresTarget:
    assert isinstance(scene.target, PostgresTarget)
    return scene.target


def _server(scene: Scene) -> PostgresServer:
    return _postgres(scene).database.server


def _migrating_backend(scene: Scene) -> int:
    """The backend of env.py's own connection: the one that has a transaction open."""
    statement = (
        "SELECT pid FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        f" AND datname = '{scene.target.name}' ORDER BY xact_start LIMIT 1"
    )
    return int(_server(scene).execute(statement)[0][0])


def _answers(server: PostgresServer) -> bool:
    try:
        return bool(server.execute("SELECT 1"))
    except RuntimeError:
        return False


@fault("the server crashes in mid-upgrade and is back at once", ends="old held", engines=POSTGRESQL)
def crash_and_back(scene: Scene) -> Iterator[None]:
    with scene.stopped_in("in") as running:
        _server(scene).stop("immediate")
        _server(scene).start()
        scene.gate.touch()
        scene.end(running)
    yield


@fault("the server crashes in mid-upgrade and stays away until the run has ended", ends="cut", engines=POSTGRESQL)
def crash_and_away(scene: Scene) -> Iterator[None]:
    with scene.stopped_in("in") as running:
        _server(scene).stop("immediate")
        try:
            scene.gate.touch()
            scene.end(running)
        finally:
            _server(scene).start()
    yield


@fault("the server crashes in mid-backup", ends="old", engines=POSTGRESQL)
def crash_in_backup(scene: Scene) -> Iterator[None]:
    server = _server(scene)
    blocked = (
        "SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        f" WHERE NOT granted AND datname = '{scene.target.name}'"
    )
    with closing(_postgres(scene).connect()) as other, closing(other.cursor()) as cursor:
        # The dump waits for this lock, and so the server crashes in its middle.
        cursor.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
        with scene.site.start("migrate", **scene.settings) as running:
            wait_until(lambda: server.execute(blocked), "the dump does not wait")
            server.stop("immediate")
            server.start()
            scene.end(running)
    yield


@fault("one backend is killed by signal 9, and the server starts all others anew", ends="old held", engines=POSTGRESQL)
def backend_killed(scene: Scene) -> Iterator[None]:
    with scene.stopped_in("in") as running:
        os.kill(_migrating_backend(scene), signal.SIGKILL)
        wait_until(lambda: _answers(_server(scene)), "the server does not come back")
        scene.gate.touch()
        scene.end(running)
    yield


@fault("the session of the migration is ended by the server", ends="old", engines=POSTGRESQL)
def session_ended(scene: Scene) -> Iterator[None]:
    with scene.stopped_in("in") as running:
        _server(scene).execute(f"SELECT pg_terminate_backend({_migrating_backend(scene)})")
        scene.gate.touch()
        scene.end(running)
    yield


@fault("idle_session_timeout ends the connection that holds the lock", ends="old new", engines=POSTGRESQL)
def idle_session(scene: Scene) -> Iterator[None]:
    server, name = _server(scene), scene.target.name
    server.execute(f"ALTER ROLE \"{name}\" SET idle_session_timeout = '500ms'")
    gone = (
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
        " AND state = 'idle' AND now() - state_change > '500ms'"
    )
    try:
        with scene.stopped_in("in") as running:
            wait_until(lambda: server.execute(gone) == [["0"]], "an idle session stays")
            scene.gate.touch()
            scene.end(running)
    finally:
        server.execute(f'ALTER ROLE "{name}" RESET idle_session_timeout')
    yield


@fault("the password is changed in mid-upgrade", ends="old new held cut", engines=POSTGRESQL)
def password_changed(scene: Scene) -> Iterator[None]:
    server, database = _server(scene), _postgres(scene).database
    with scene.stopped_in("in") as running:
        server.execute(f"ALTER ROLE \"{database.user}\" PASSWORD 'another'")
        scene.gate.touch()
        scene.end(running)
    server.execute(f"ALTER ROLE \"{database.user}\" PASSWORD '{database.password}'")
    yield


@fault("a role that may not change the table", ends="old", engines=POSTGRESQL)
def no_permission(scene: Scene) -> Iterator[None]:
    server, name = _server(scene), scene.target.name
    server.execute("ALTER TABLE item OWNER TO postgres", name)
    server.execute(f'GRANT SELECT ON item TO "{name}"', name)
    scene.fails()
    server.execute(f'REVOKE ALL ON item FROM "{name}"', name)
    server.execute(f'ALTER TABLE item OWNER TO "{name}"', name)
    yield


@fault("large objects beside a revision that leaves something behind", ends="old held", engines=POSTGRESQL)
def large_objects(scene: Scene) -> Iterator[None]:
    scene.target.rows("SELECT lo_from_bytea(4711, 'kept')")
    scene.old = digest(scene.target)
    words = "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE half (id int)')\n"
    scene.release(words + "op.execute('SELECT lo_unlink(4711)')\n" + scene.raise_here())
    scene.fails()
    scene.source.add("0003", "0002", "pass")
    scene.target.rows("SELECT 1")
    yield
