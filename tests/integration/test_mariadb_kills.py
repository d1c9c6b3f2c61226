"""A revision of ten statements on MariaDB, each of which commits at once, cut off after each of them in four ways."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.integration.site import PLAYBOOKS, Running, Site, Source
from tests.integration.targets import MariaDBTarget
from tests.integration.virtualenvs import virtualenv
from tests.lab import ansible
from tests.lab.fixtures import MariaDatabase, maria_database
from tests.lab.mariadb import MariaDBServer, program
from tests.lab.processes import holding
from tests.lab.shell import run
from tests.lab.waiting import wait_until

FAULTS = ("worker", "server", "connection", "error")
COUNT = 10
#: What `make test` runs; the other runs are left to `make faults`.
DAILY = {("worker", 2), ("worker", 9), ("server", 1), ("server", 10), ("connection", 5), ("error", 1)}
LEDGER = "ledger"
PROGRAM = """
item = sa.table("item", sa.column("id"), sa.column("name"), sa.column("price"))
line = sa.table("line", sa.column("item_id"), sa.column("word"))


def reached(number):
    session = op.get_bind().exec_driver_sql("SELECT connection_id()").scalar()
    with open({reached!r} + ".part", "w") as file:
        file.write(str(session))
    os.rename({reached!r} + ".part", {reached!r})
    if {fails!r}:
        raise RuntimeError("on purpose, after statement %d" % number)
    while not os.path.exists({gate!r}):
        time.sleep(0.02)


statements = [
    lambda: op.create_table(
        "line",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("item_id", sa.Integer, nullable=False),
        sa.Column("word", sa.String(50)),
    ),
    lambda: op.execute(line.insert().from_select(["item_id", "word"], sa.select(item.c.id, item.c.name))),
    lambda: op.add_column("item", sa.Column("price", sa.Integer)),
    lambda: op.execute(item.update().values(price=item.c.id * 10)),
    lambda: op.create_index("by_price", "item", ["price"]),
    lambda: op.create_foreign_key("item_of_line", "line", "item", ["item_id"], ["id"]),
    lambda: op.execute("CREATE TRIGGER prices BEFORE INSERT ON item FOR EACH ROW SET NEW.price = 0"),
    lambda: op.execute("CREATE VIEW dear AS SELECT id, name FROM item WHERE price > 10"),
    lambda: op.drop_column("item", "legacy"),
    lambda: op.drop_table("doomed"),
]
for number, statement in enumerate(statements, 1):
    statement()
    if number == {stop} and not os.path.exists({gate!r}):
        reached(number)
"""
#: What customers have in the database besides, with rows that the revision takes away.
OWN = f"""
ALTER TABLE item ADD COLUMN legacy VARCHAR(20);
INSERT INTO item (id, name, legacy) VALUES (1, 'one', 'kept'), (2, 'two', NULL), (3, 'three', 'Ünïcode');
CREATE TABLE doomed (id INT PRIMARY KEY AUTO_INCREMENT, word VARCHAR(20), at DATETIME(3));
INSERT INTO doomed (word, at) VALUES ('a', '2026-01-02 03:04:05.678'), ('b', NULL);
CREATE TABLE {LEDGER} (id INT PRIMARY KEY AUTO_INCREMENT, word VARCHAR(20) UNIQUE);
INSERT INTO {LEDGER} (word) VALUES ('before');
"""
_ALEMBIC = """
import sys
from alembic import command
from alembic.config import Config
config = Config("alembic.ini")
config.set_main_option("sqlalchemy.url", sys.argv[1].replace("%", "%%"))
command.upgrade(config, sys.argv[2])
"""


#: What Alembic alone makes of the database, once it was read.
_new: list[str] = []


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    """A server to be killed; what it has acknowledged is on the disk."""
    with MariaDBServer() as started:
        yield started


@pytest.fixture
def maria(server: MariaDBServer) -> Iterator[MariaDBTarget]:
    """A database whose user may restore it; another session's table is in it."""
    with maria_database(server) as database:
        user = f"'{database.user}'@'%'"
        server.execute(f"GRANT ALL ON `hosting\\_alembic\\_%`.* TO {user}; GRANT PROCESS ON *.* TO {user}")
        yield MariaDBTarget(database)
        for schema in retained(server):
            server.execute(f"SET foreign_key_checks = 0; DROP DATABASE IF EXISTS `{schema}`")


def retained(server: MariaDBServer) -> list[str]:
    """What restores have kept, or left, of the test's database: no other one is in this server meanwhile."""
    return [name for (name,) in server.execute("SHOW DATABASES LIKE 'hosting\\_alembic\\_%'")]


class Writer:
    """Another session, which writes into a table that the revision leaves alone, and notes what was acknowledged."""

    def __init__(self, maria: MariaDBTarget) -> None:
        self.acknowledged = ["before"]
        self._maria = maria
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _write(self) -> None:
        number = 0
        while not self._ended.is_set():
            # Servers are killed, and tables moved away for a moment: then the row was not acknowledged.
            with suppress(pymysql.err.MySQLError, OSError), closing(self._maria.connect()) as connection:
                connection.autocommit(True)
                while not self._ended.wait(0.05):
                    number += 1
                    with connection.cursor() as cursor:
                        cursor.execute(f"INSERT INTO {LEDGER} (word) VALUES ('{number}')")
                    self.acknowledged.append(str(number))
            self._ended.wait(0.1)


@dataclass
class Case:
    """One run that is cut off, and what is read of the database around it."""

    site: Site
    maria: MariaDBTarget
    folder: Path
    fault: str
    stop: int
    source: Source = field(init=False)
    #: All that was printed.
    output: str = ""

    def __post_init__(self) -> None:
        self.folder.chmod(0o777)
        self.source = self.site.source("generic").keep("0001")
        words = {"reached": str(self.reached), "gate": str(self.gate), "fails": self.fault == "error"}
        self.source.add("0002", "0001", PROGRAM.format(stop=self.stop, **words))
        self.site.variables.update(
            migrate_virtualenv=str(virtualenv("pymysql")),
            migrate_source=str(self.source.folder),
            migrate_databases=[self.maria.entry],
            migrate_lock_timeout=1,
            migrate_lock_wait=10,
            migrate_database_wait=30,
        )
        self.fill(self.maria)

    @property
    def reached(self) -> Path:
        return self.folder / "reached"

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    @property
    def server(self) -> MariaDBServer:
        return self.maria.database.server

    def fill(self, target: MariaDBTarget) -> None:
        self.alembic(target, "0001")
        self.server.execute(OWN, target.name)

    def alembic(self, target: MariaDBTarget, revision: str) -> None:
        python = Path(self.site.variables["migrate_virtualenv"]) / "bin" / "python"
        run([python, "-c", _ALEMBIC, target.url, revision], cwd=self.source.folder)

    def content(self, schema: str = "") -> str:
        """What mariadb-dump writes of a schema, without the ledger and without the database's name."""
        options = ["--routines", "--triggers", "--events", "--hex-blob", "--skip-comments", "--single-transaction"]
        schema, server = schema or self.maria.name, self.server
        text = run(
            [program("mariadb-dump"), "--no-defaults", f"--socket={server.socket}", f"--user={server.user}", *options,
             f"--ignore-table={schema}.{LEDGER}", schema],
            env={"MYSQL_PWD": server.password},
        )  # fmt: skip
        return text.replace(schema, "THE_DATABASE").replace(self.maria.name, "THE_DATABASE")

    def content_when_new(self) -> str:
        """What Alembic alone makes of the same database."""
        if not _new:
            name, user = f"clean_{os.urandom(4).hex()}", self.maria.database.user
            self.server.create_database(name, owner=user)
            clean = MariaDBTarget(MariaDatabase(self.server, name, user, self.maria.database.password))
            self.fill(clean)
            self.gate.touch()
            self.alembic(clean, "heads")
            self.gate.unlink()
            _new.append(self.content(name))
            self.server.drop_database(name)
        return _new[0]

    def content_of_backup(self) -> str:
        """What the first backup holds, loaded by the server's own client."""
        name = f"loaded_{os.urandom(4).hex()}"
        self.server.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        self.server.execute((self.site.backups(self.maria.name)[0] / "dump.sql").read_text(), name)
        text = self.content(name)
        self.server.drop_database(name)
        return text

    def kill_worker(self) -> None:
        """Kill all that works for the run on the host."""
        pids = holding(self.site.root / "workers")
        assert pids
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def inject(self, running: Running) -> None:
        """Bring the fault about, once the revision has come to the statement."""
        if self.fault == "worker":
            if self.stop % 2:
                running.kill()
            self.kill_worker()
        elif self.fault == "server":
            self.server.stop(signal.SIGKILL)
            if self.stop % 2:
                self.server.start()
        elif self.fault == "connection":
            self.server.execute(f"KILL {self.reached.read_text()}")
        self.gate.touch()
        wait_until(lambda: running.ended, "the run does not end")
        if self.server.process is None:
            self.server.start()

    @property
    def no_process_is_left(self) -> bool:
        """Whether the fault left no process, or no server, to revert anything."""
        return (self.fault, self.stop % 2) in (("worker", 1), ("server", 0))

    def play(self, verb: str, *words: str, **variables: Any) -> int:
        """Run a playbook to its end and return its exit code."""
        outcome = ansible.playbook(PLAYBOOKS / f"{verb}.yml", *words, inventory=self.site.inventory(**variables))
        self.output += outcome.output
        return outcome.code

    def last_outcome(self) -> str:
        outcomes = ("held", "restored", "downgraded", "verified", "begun")
        return next(
            (e["event"] for e in reversed(self.site.events(self.maria.name)) if e["event"] in outcomes), "nothing"
        )

    def type_the_restore_command(self) -> None:
        """Type the command that was printed where the database is held."""
        held = [event for event in self.site.events(self.maria.name) if event["event"] == "held"]
        words = shlex.split(held[-1]["ways_out"]["back"])
        assert words[:2] == ["ansible-playbook", "playbooks/restore.yml"], held[-1]
        assert self.play("restore", *words[2:]) == 0, self.output

    def ledger(self) -> set[str]:
        """The other session's rows: in the database, and in schemas whose names were printed."""
        found = {word for (word,) in self.server.execute(f"SELECT word FROM {LEDGER}", self.maria.name)}
        for schema in retained(self.server):
            if schema in self.output and ["1"] in self.server.execute(
                f"SELECT 1 FROM information_schema.tables WHERE table_schema = '{schema}' AND table_name = '{LEDGER}'"
            ):
                found |= {word for (word,) in self.server.execute(f"SELECT word FROM {LEDGER}", schema)}
        return found


def _cases() -> Iterator[Any]:
    for place, fault in enumerate(FAULTS):
        for stop in range(1, COUNT + 1):
            marks = [] if (fault, stop) in DAILY else [pytest.mark.exhaustive]
            others = (place + (stop + 1) // 2) % 2 == 0
            name = f"{fault}-{stop}" + ("-others" if others else "")
            yield pytest.param(fault, stop, others, id=name, marks=marks)


@pytest.mark.parametrize(("fault", "stop", "others"), list(_cases()))
def test_a_revision_of_ten_statements_that_is_cut_off(
    site: Site, maria: MariaDBTarget, tmp_path_factory: pytest.TempPathFactory, fault: str, stop: int, others: bool
) -> None:
    case = Case(site, maria, tmp_path_factory.mktemp("cut"), fault, stop)
    old, new = case.content(), case.content_when_new()
    assert old != new
    writer = Writer(maria)
    with writer if others else nullcontext():
        with site.start("migrate") as running:
            wait_until(lambda: case.reached.exists() or running.ended, "the statement was not reached")
            assert case.reached.exists(), running.output
            case.inject(running)
            code, case.output = running.code, running.output
        wait_until(lambda: not holding(site.root / "workers"), "a worker does not end")
        time.sleep(0.2 if others else 0)

        ended = judge(case, old, new)
        print(f"{fault} after {stop}, others: {others}: {ended}, {case.last_outcome()}, code {code}")
        assert ended in ("old", "new", "held") or (ended == "cut" and case.no_process_is_left), case.output
        assert (code == 0) == (ended == "new"), case.output
        assert case.content_of_backup() == old

        # The next migrate.yml finds out by itself what the run has left, and says what is for a person.
        code = case.play("migrate", migrate_retry_failed=True)
        if code:
            ended = judge(case, old, new)
            print(f"  the next one: {ended}, code {code}")
            assert ended == "held", case.output
            case.type_the_restore_command()
            assert case.content() == old
            assert case.play("migrate", migrate_retry_failed=True) == 0, case.output
    assert case.content() == new
    assert set(writer.acknowledged) <= case.ledger()
    assert others == (len(writer.acknowledged) > 1)


def judge(case: Case, old: str, new: str) -> str:
    """Name the state of the database by its dump, and only where that is neither old nor new by the journal."""
    now = case.content()
    if now in (old, new):
        return "old" if now == old else "new"
    return {"held": "held", "begun": "cut"}.get(case.last_outcome(), f"between:\n{now}\nbut {case.last_outcome()}")
