"""Servers of MariaDB that crash, end sessions, turn clients away, or are set in their own ways."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.faults.fault import MARIADB, fault
from tests.faults.mariadb import quoted
from tests.faults.scene import PART, Scene
from tests.faults.servers import began, dumping, outlives_a_link_that_is_down, unplugged
from tests.integration.site import Running
from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import MariaDBServer, literal
from tests.lab.shell import run
from tests.lab.waiting import wait_until


def database_of(scene: Scene) -> MariaDatabase:
    assert isinstance(scene.target, MariaDBTarget)
    return scene.target.database


def server_of(scene: Scene) -> MariaDBServer:
    return database_of(scene).server


def user_of(scene: Scene) -> str:
    return f"{literal(database_of(scene).user)}@'%'"


def _sessions(scene: Scene, condition: str = "true") -> list[str]:
    statement = (
        f"SELECT id FROM information_schema.processlist WHERE user = '{database_of(scene).user}' AND {condition}"
    )
    return [number for (number,) in server_of(scene).execute(statement)]


def _migrating_session(scene: Scene) -> str:
    """The session of env.py's own connection: it holds the second of the two locks."""
    name = f"substr(sha2({literal(scene.target.name)}, 256), 1, 32)"
    ((number,),) = server_of(scene).execute(f"SELECT is_used_lock(concat('hosting.alembic migrating ', {name}))")
    return number


def _in_upgrade(words: str, ends: str, first: Callable[[Scene], None], last: Callable[[Scene], None]) -> None:
    """Something happens in mid-upgrade, and something else when the run has ended."""

    @fault(words, ends=ends, engines=MARIADB)
    def inject(scene: Scene) -> Iterator[None]:
        _meanwhile(scene, scene.stopped_in("in"), first, last)
        yield


def _before_upgrade(words: str, ends: str, first: Callable[[Scene], None], last: Callable[[Scene], None]) -> None:
    """Something happens between the backup and the upgrade, and something else when the run has ended."""

    @fault(f"{words} between the backup and the upgrade", ends=ends, engines=MARIADB)
    def inject(scene: Scene) -> Iterator[None]:
        _meanwhile(scene, scene.stopped_before_upgrade(), first, last)
        yield


def _meanwhile(
    scene: Scene,
    stopped: AbstractContextManager[Running],
    first: Callable[[Scene], None],
    last: Callable[[Scene], None],
) -> None:
    with stopped as running:
        first(scene)
        try:
            scene.gate.touch()
            scene.end(running)
        finally:
            last(scene)


def _executes(statement: str) -> Callable[[Scene], None]:
    """Let the server's administrator execute something."""

    def execute(scene: Scene) -> None:
        database = database_of(scene)
        pattern = quoted(database.name.replace("_", "\\_"))
        words = {"user": user_of(scene), "name": pattern, "password": literal(database.password)}
        server_of(scene).execute(statement.format(**words))

    return execute


def _nothing(_scene: Scene) -> None:
    pass


def _restarts(how: signal.Signals) -> Callable[[Scene], None]:
    def restart(scene: Scene) -> None:
        server_of(scene).stop(how)
        server_of(scene).start()

    return restart


def _stops(scene: Scene) -> None:
    server_of(scene).stop(signal.SIGKILL)


def _starts(scene: Scene) -> None:
    server_of(scene).start()


_in_upgrade("the server crashes in mid-upgrade and is back at once", "old", _restarts(signal.SIGKILL), _nothing)
_in_upgrade("the server is restarted in mid-upgrade", "old", _restarts(signal.SIGTERM), _nothing)
_in_upgrade("the server crashes in mid-upgrade and stays away until the run has ended", "cut", _stops, _starts)
_before_upgrade("the server is restarted", "old new", _restarts(signal.SIGTERM), _nothing)


@fault("the server crashes in mid-backup", ends="old", engines=MARIADB)
def crash_in_backup(scene: Scene) -> Iterator[None]:
    with dumping(scene) as running:
        _restarts(signal.SIGKILL)(scene)
        scene.end(running)
    yield


@fault("the server crashes in mid-restore and stays away", ends="held cut", engines=MARIADB)
def crash_in_restore(scene: Scene) -> Iterator[None]:
    scene.release(f"{scene.leave()}\n{scene.stop_here()}\n{_RAISE}")
    with scene.started() as running:
        scene.gate.touch()
        wait_until(lambda: began(scene, "restore_begun"), "no restore begins")
        _stops(scene)
        try:
            scene.end(running)
        finally:
            _starts(scene)
    scene.release()
    yield


_RAISE = "if 'CLEAN' not in os.environ:\n    raise RuntimeError('fails on purpose')"


@fault("the server is killed while a statement waits for its lock", ends="old", engines=MARIADB)
def killed_while_waiting(scene: Scene) -> Iterator[None]:
    assert isinstance(scene.target, MariaDBTarget)
    scene.settings["migrate_lock_wait"] = 60
    other = scene.target.connect()
    other.cursor().execute("SELECT * FROM item")
    with scene.site.start("migrate", **scene.settings) as running:
        wait_until(lambda: _sessions(scene, "state = 'Waiting for table metadata lock'"), "no statement waits")
        _restarts(signal.SIGKILL)(scene)
        scene.end(running)
    yield


@fault("another server takes over between the backup and the upgrade", ends="old", engines=MARIADB)
def failover(scene: Scene) -> Iterator[None]:
    server = server_of(scene)
    with scene.stopped_before_upgrade() as running:
        server.stop()
        scene.kept.callback(server.start)
        copy = scene.kept.enter_context(_copy_of(server))
        scene.gate.touch()
        scene.end(running)
        copy.stop()
        scene.kept.pop_all().close()
    yield


@contextmanager
def _copy_of(server: MariaDBServer) -> Iterator[MariaDBServer]:
    """Another server with the same rows, at the same address."""
    copy = MariaDBServer(durable=False, port=server.port, password=server.password, settings=server.settings)
    copy.folder = Path(tempfile.mkdtemp(prefix="hosting-alembic-my-"))
    try:
        run(["cp", "-a", f"{server.folder}/.", copy.folder])
        copy.folder.chmod(0o711)
        shutil.chown(copy.folder, "mysql", "mysql")
        copy.start()
        yield copy
    finally:
        copy._remove()


@fault("the link to the database server is down for 20 s in mid-upgrade", ends="new", engines=MARIADB)
def link_down(scene: Scene) -> Iterator[None]:
    outlives_a_link_that_is_down(scene, server_of(scene).port)
    yield


@fault("the link to the database server is down in mid-upgrade until the server has given up", "old", MARIADB)
def link_lost(scene: Scene) -> Iterator[None]:
    with scene.stopped_in("in") as running:
        with unplugged(server_of(scene).port):
            for number in _sessions(scene):
                server_of(scene).execute(f"KILL {number}")
            wait_until(lambda: not _sessions(scene), "a session stays")
            scene.gate.touch()
            until = time.monotonic() + 5
            wait_until(lambda: running.ended or time.monotonic() > until, "time stands still")
        scene.end(running)
    yield


def _ends_migration(scene: Scene) -> None:
    server_of(scene).execute(f"KILL {_migrating_session(scene)}")


def _ends_all_others(scene: Scene) -> None:
    migrating = _migrating_session(scene)
    for number in _sessions(scene, f"id <> {migrating}"):
        server_of(scene).execute(f"KILL {number}")


def _ends_all(scene: Scene) -> None:
    for number in _sessions(scene):
        server_of(scene).execute(f"KILL {number}")


_in_upgrade("the session of the migration is ended by the server", "old", _ends_migration, _nothing)
_in_upgrade("the sessions that hold the lock and watch are ended by the server", "old new", _ends_all_others, _nothing)
_in_upgrade("all sessions are ended by the server in mid-upgrade", "old", _ends_all, _nothing)


@fault("wait_timeout ends idle connections in mid-upgrade", ends="old new", engines=MARIADB)
def idle_session(scene: Scene) -> Iterator[None]:
    server_of(scene).execute("SET GLOBAL wait_timeout = 1, GLOBAL interactive_timeout = 1")
    try:
        with scene.stopped_in("in") as running:
            until = time.monotonic() + 4
            wait_until(lambda: time.monotonic() > until, "time stands still")
            scene.gate.touch()
            scene.end(running)
    finally:
        server_of(scene).execute("SET GLOBAL wait_timeout = DEFAULT, GLOBAL interactive_timeout = DEFAULT")
    yield


@fault("a statement of a revision is ended by KILL QUERY", ends="old", engines=MARIADB)
def query_killed(scene: Scene) -> Iterator[None]:
    wait = "op.execute('INSERT INTO part SELECT id, name FROM item WHERE SLEEP(20) = 0')"
    scene.release(f"{PART}\nif not os.path.exists({str(scene.gate)!r}):\n    {wait}")
    with scene.site.start("migrate", **scene.settings) as running:
        wait_until(lambda: _sessions(scene, "info LIKE 'INSERT INTO part%'"), "the statement does not run")
        (number,) = _sessions(scene, "info LIKE 'INSERT INTO part%'")
        server_of(scene).execute(f"KILL QUERY {number}")
        scene.end(running)
    scene.gate.touch()
    scene.release()
    yield


_RIGHT_PASSWORD = _executes("ALTER USER {user} IDENTIFIED BY {password}")
_ALL = _executes("GRANT ALL PRIVILEGES ON {name}.* TO {user}")
_before_upgrade("the password expires", "old", _executes("ALTER USER {user} PASSWORD EXPIRE"), _RIGHT_PASSWORD)
_before_upgrade(
    "the account is locked", "old", _executes("ALTER USER {user} ACCOUNT LOCK"),
    _executes("ALTER USER {user} ACCOUNT UNLOCK"),
)  # fmt: skip
_before_upgrade("the right to alter is taken away", "old", _executes("REVOKE ALTER ON {name}.* FROM {user}"), _ALL)
_before_upgrade(
    "the server turns read_only", "old", _executes("SET GLOBAL read_only = 1"), _executes("SET GLOBAL read_only = 0")
)
_in_upgrade(
    "the password is changed in mid-upgrade", "old new held cut", _executes("ALTER USER {user} IDENTIFIED BY 'other'"),
    _RIGHT_PASSWORD,
)  # fmt: skip
_in_upgrade(
    "the server turns read_only in mid-upgrade", "old held cut", _executes("SET GLOBAL read_only = 1"),
    _executes("SET GLOBAL read_only = 0"),
)  # fmt: skip
_in_upgrade(
    "the rights to alter, create and drop are taken away in mid-upgrade", "old held cut",
    _executes("REVOKE ALTER, CREATE, DROP ON {name}.* FROM {user}"), _ALL,
)  # fmt: skip


@fault("a wrong password", ends="old", engines=MARIADB)
def password_wrong(scene: Scene) -> Iterator[None]:
    right, password = scene.settings["migrate_databases"], quote(database_of(scene).password, safe="")
    wrong = scene.target.url.replace(f":{password}@", ":wrong@")
    assert wrong != scene.target.url
    scene.settings["migrate_databases"] = [{**scene.target.entry, "url": wrong}]
    scene.fails()
    scene.settings["migrate_databases"] = right
    yield


def _refused(words: str, first: str, last: str) -> None:
    @fault(words, ends="old", engines=MARIADB)
    def inject(scene: Scene) -> Iterator[None]:
        _executes(first)(scene)
        try:
            scene.fails()
        finally:
            _executes(last)(scene)
        yield


_refused("a user who may not change the table", "REVOKE ALTER ON {name}.* FROM {user}",
         "GRANT ALL PRIVILEGES ON {name}.* TO {user}")  # fmt: skip
_refused("a user who may have one connection only", "ALTER USER {user} WITH MAX_USER_CONNECTIONS 1",
         "ALTER USER {user} WITH MAX_USER_CONNECTIONS 0")  # fmt: skip
_refused("a server that is read_only", "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0")


@fault("too many connections, from the middle of the upgrade on", ends="old held cut", engines=MARIADB)
def too_many(scene: Scene) -> Iterator[None]:
    assert isinstance(scene.target, MariaDBTarget)
    with scene.stopped_in("in") as running:
        server_of(scene).execute("SET GLOBAL max_connections = 10")
        others = []
        try:
            while True:
                others.append(scene.target.connect())
        except Exception:  # noqa: BLE001 - the server is full
            assert others
        scene.gate.touch()
        scene.end(running)
        for other in others:
            other.close()
        # The administrator's connection needs a place too.
        wait_until(lambda: _accepts(server_of(scene)), "the server stays full")
        server_of(scene).execute("SET GLOBAL max_connections = 200")
    yield


def _accepts(server: MariaDBServer) -> bool:
    try:
        return bool(server.execute("SELECT 1"))
    except RuntimeError:
        return False


@contextmanager
def _started_with(server: MariaDBServer, settings: dict[str, str]) -> Iterator[None]:
    before = dict(server.settings)
    server.stop()
    server.settings.update(settings)
    server.start()
    try:
        yield
    finally:
        server.stop()
        server.settings.clear()
        server.settings.update(before)
        server.start()


def _set_to(words: str, ends: str = "old", **settings: str) -> None:
    """A server that is set in another way, on which a revision fails that leaves behind what has to be restored."""

    @fault(f"a revision that left something behind fails, on a server {words}", ends=ends, engines=MARIADB)
    def inject(scene: Scene) -> Iterator[None]:
        options = {name.replace("_", "-"): value for name, value in settings.items()}
        scene.kept.enter_context(_started_with(server_of(scene), options))
        scene.release(f"{scene.leave()}\n{PART}\n{scene.raise_here()}")
        scene.fails()
        scene.release()
        yield


_set_to("whose sql_mode is empty", sql_mode="")
_set_to("whose sql_mode is ANSI", sql_mode="ANSI,STRICT_TRANS_TABLES")
_set_to("whose sql_mode is ORACLE", sql_mode="ORACLE")
_set_to("whose sql_mode has NO_BACKSLASH_ESCAPES", sql_mode="STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES")
_set_to("without autocommit", autocommit="0")
_set_to("with a binary log", log_bin="binary", server_id="7", log_bin_trust_function_creators="1")
_set_to("with a binary log by statements", log_bin="binary", server_id="7", binlog_format="STATEMENT",
        log_bin_trust_function_creators="1")  # fmt: skip
_set_to("whose names are of lower case", lower_case_table_names="1")
_set_to("with a pool of threads", thread_handling="pool-of-threads")
_set_to("that is SERIALIZABLE", transaction_isolation="SERIALIZABLE")
_set_to("that is READ-UNCOMMITTED", transaction_isolation="READ-UNCOMMITTED")
_set_to("of latin1", character_set_server="latin1", collation_server="latin1_swedish_ci")
_set_to("with performance_schema and metadata_lock_info", performance_schema="on", plugin_load_add="metadata_lock_info")
_set_to("that chains transactions", completion_type="CHAIN")
_set_to("with init_connect", init_connect="SET NAMES latin1, sql_mode = ''")
_set_to("in another time zone", default_time_zone="-11:00")
