"""Database servers that crash, end sessions, or turn clients away."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.faults.digest import digest
from tests.faults.fault import POSTGRESQL, fault
from tests.faults.scene import Scene
from tests.integration.servers import Pooler, Standby
from tests.integration.site import Running
from tests.integration.targets import MariaDBTarget, PostgresTarget
from tests.lab.postgres import PostgresServer
from tests.lab.shell import run
from tests.lab.waiting import wait_until


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


@fault("the server crashes in mid-upgrade and is back at once", ends="old", engines=POSTGRESQL)
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
    with dumping(scene) as running:
        server.stop("immediate")
        server.start()
        scene.end(running)
    yield


@contextmanager
def dumping(scene: Scene) -> Iterator[Running]:
    """Run the migration up to the middle of its dump, which waits for a lock of another session."""
    target = scene.target
    assert isinstance(target, PostgresTarget | MariaDBTarget)
    if isinstance(target, PostgresTarget):
        lock = "LOCK TABLE item IN ACCESS EXCLUSIVE MODE"
        blocked = (
            "SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            f" WHERE NOT granted AND datname = '{target.name}'"
        )
    else:
        lock = "LOCK TABLES item WRITE"
        blocked = (
            "SELECT id FROM information_schema.processlist"
            f" WHERE state = 'Waiting for table metadata lock' AND user = '{target.database.user}'"
        )
    with closing(target.connect()) as other, closing(other.cursor()) as cursor:
        cursor.execute(lock)
        with scene.site.start("migrate", **scene.settings) as running:
            # A session that only reads the database waits for nothing that long.
            wait_until(lambda: began(scene, "locked") and target.database.server.execute(blocked), "no dump waits")
            yield running


def _crash_in_restore(method: str, rights: str) -> None:
    @fault(f"the server crashes in mid-restore ({method}) and stays away", ends="held", engines=POSTGRESQL)
    def inject(scene: Scene) -> Iterator[None]:
        server, target = _server(scene), _postgres(scene)
        server.execute(f'ALTER ROLE "{target.name}" {rights}')
        scene.release(f"with op.get_context().autocommit_block():\n    {_HALF}\n{scene.stop_here()}\n{_RAISE}")
        postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
        with scene.started() as running:
            scene.gate.touch()
            wait_until(lambda: began(scene, "restore_begun"), "no restore begins")
            os.kill(postmaster, signal.SIGQUIT)
            wait_until(lambda: not (server.data / "postmaster.pid").exists(), "the server does not crash")
            try:
                scene.end(running)
            finally:
                server.start()
        scene.release()
        yield


_HALF = "op.execute('CREATE TABLE half (id int)')"
_RAISE = "if 'CLEAN' not in os.environ:\n    raise RuntimeError('fails on purpose')"


def began(scene: Scene, name: str) -> bool:
    return any(event["event"] == name for event in scene.site.events(scene.target.name))


_crash_in_restore("in_place", "NOCREATEDB")
_crash_in_restore("swap", "CREATEDB")


@fault("a standby takes over between the backup and the upgrade", ends="old", engines=POSTGRESQL)
def failover(scene: Scene) -> Iterator[None]:
    server = _server(scene)
    standby = scene.kept.enter_context(Standby(fsync=False, primary=server))
    with scene.stopped_before_upgrade() as running:
        wait_until(lambda: _replayed(server, standby), "the standby stays behind")
        server.stop("immediate")
        scene.kept.callback(_switch_back, server, standby)
        standby.stop()
        standby.port = server.port
        standby.start()
        standby._run("pg_ctl", "promote", "--wait", "-D", str(standby.data))
        scene.gate.touch()
        scene.end(running)
    yield


def _replayed(primary: PostgresServer, standby: PostgresServer) -> bool:
    written = primary.execute("SELECT pg_current_wal_flush_lsn()")[0][0]
    return standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == [["t"]]


def _switch_back(primary: PostgresServer, standby: PostgresServer) -> None:
    standby.stop("immediate")
    primary.start()


@fault("a pooler in transaction mode before the server", ends="old", engines=POSTGRESQL)
def pooler(scene: Scene) -> Iterator[None]:
    target = _postgres(scene)
    with tempfile.TemporaryDirectory(prefix="hosting-alembic-pooler-") as folder, Pooler(target, Path(folder)) as it:
        scene.settings["migrate_databases"] = [{**target.entry, "url": it.url}]
        assert "direct_url" in scene.fails().output
        # What it says is done: the application stays behind the pooler, the migration goes past it.
        scene.settings["migrate_databases"] = [{**target.entry, "url": it.url, "direct_url": target.url}]
    yield


@contextmanager
def unplugged(port: int) -> Iterator[None]:
    """Let every packet to and from a server's port get lost, as by a link that is down."""
    rules = [["INPUT", "-i", "lo", "-p", "tcp", f"--{end}", str(port), "-j", "DROP"] for end in ("dport", "sport")]
    for rule in rules:
        run(["iptables", "--wait", "--insert", *rule])
    try:
        yield
    finally:
        for rule in rules:
            run(["iptables", "--wait", "--delete", *rule])


def outlives_a_link_that_is_down(scene: Scene, port: int) -> None:
    """Let a run go on while the link to its server is down for 20 seconds."""
    with scene.stopped_in("in") as running:
        with unplugged(port):
            scene.gate.touch()
            until = time.monotonic() + 20
            wait_until(lambda: running.ended or time.monotonic() > until, "time stands still")
            assert not running.ended, running.output
        scene.end(running)


@fault("the link to the database server is down for 20 s in mid-upgrade", ends="new", engines=POSTGRESQL)
def link_down(scene: Scene) -> Iterator[None]:
    outlives_a_link_that_is_down(scene, _server(scene).port)
    yield


@fault(
    "the link to the database server is down in mid-upgrade until the server has given up",
    ends="old",
    engines=POSTGRESQL,
)
def link_lost(scene: Scene) -> Iterator[None]:
    server = _server(scene)
    query = (
        f"SELECT pid FROM pg_stat_activity WHERE datname = '{scene.target.name}' AND backend_type = 'client backend'"
    )
    with scene.stopped_in("in") as running:
        pids = [int(row[0]) for row in server.execute(query)]
        with unplugged(server.port):
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "a session stays")
            scene.gate.touch()
            until = time.monotonic() + 5
            wait_until(lambda: running.ended or time.monotonic() > until, "time stands still")
            assert not running.ended, running.output
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


@fault("the password expires between the backup and the upgrade", ends="old", engines=POSTGRESQL)
def password_expired(scene: Scene) -> Iterator[None]:
    server, user = _server(scene), _postgres(scene).database.user
    with scene.stopped_before_upgrade() as running:
        server.execute(f"ALTER ROLE \"{user}\" VALID UNTIL '2001-01-01'")
        scene.gate.touch()
        scene.end(running)
    server.execute(f"ALTER ROLE \"{user}\" VALID UNTIL 'infinity'")
    yield


@fault("a wrong password", ends="old", engines=POSTGRESQL)
def password_wrong(scene: Scene) -> Iterator[None]:
    target = _postgres(scene)
    right = scene.settings["migrate_databases"]
    wrong = target.url.replace(f":{quote(target.database.password, safe='')}@", ":wrong@")
    scene.settings["migrate_databases"] = [{**target.entry, "url": wrong}]
    scene.fails()
    scene.settings["migrate_databases"] = right
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
    clean = scene.old
    scene.target.rows("SELECT lo_from_bytea(4711, 'kept')")
    scene.old = digest(scene.target)
    words = "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE half (id int)')\n"
    scene.release(words + "op.execute('SELECT lo_unlink(4711)')\n" + scene.raise_here())
    scene.fails()
    scene.ended = scene.state()
    assert scene.ended in ("old", "held")
    if scene.ended == "held":
        scene.assert_nothing_is_lost()
        scene.type_the_restore_command()
        assert scene.state() == "old"
    assert scene.target.rows("SELECT convert_from(lo_get(4711), 'UTF8')") == [("kept",)]
    # A clean upgrade knows of none.
    scene.target.rows("SELECT lo_unlink(4711)")
    scene.old = clean
    scene.release()
    yield
