"""A database at its old revision with rows in it, a release that leads on, and what may be read of both."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import mariadb
from tests.faults.digest import digest, postgres_digest, sqlite_digest
from tests.integration.site import PLAYBOOKS, Running, Site, Source
from tests.integration.targets import MariaDBTarget, PostgresTarget, SQLiteTarget, Target
from tests.integration.virtualenvs import virtualenv
from tests.lab import PROJECT, ansible
from tests.lab.fixtures import owned_database
from tests.lab.shell import run
from tests.lab.waiting import wait_until

OLD = "0001"
_CLEAN = """
import sys
from alembic import command
from alembic.config import Config
config = Config("alembic.ini")
config.set_main_option("sqlalchemy.url", sys.argv[1].replace("%", "%%"))
command.upgrade(config, sys.argv[2])
"""
#: Only a retry that was requested tries a failed database again, where the role knows of it.
_RETRY = (
    {"migrate_retry_failed": True}
    if "\nmigrate_retry_failed:" in (PROJECT / "roles" / "migrate" / "defaults" / "main.yml").read_text()
    else {}
)
#: The digest of a clean upgrade, by engine and release.
_clean: dict[tuple[str, str], tuple[str, list[str]]] = {}

PART = "op.create_table('part', sa.Column('id', sa.Integer(), primary_key=True), sa.Column('name', sa.String(50)))"
FILL_PART = "op.execute('INSERT INTO part SELECT id, name FROM item')"
DROP_PART = "op.drop_table('part')"


@dataclass
class Scene:
    """One database of one host before, in and after a fault."""

    site: Site
    target: Target
    folder: Path
    source: Source = field(init=False)
    settings: dict[str, Any] = field(init=False)
    old: str = field(init=False)
    #: Environment variables of every run.
    environment: dict[str, str] = field(default_factory=dict)
    #: Where the database is before the fault.
    at: str = OLD
    #: How it ended, where a fault goes on to read more.
    ended: str = ""
    #: What a fault needs until the database has been recovered and read.
    kept: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        if isinstance(self.target, MariaDBTarget):
            self.site.variables["migrate_virtualenv"] = str(virtualenv("pymysql"))
            mariadb.allow_restores(self.target)
        self.source = self.site.source("generic", "release")
        self.settings = {"migrate_databases": [self.target.entry], "migrate_source": self.source}
        self.settings.update(migrate_lock_timeout=1, migrate_lock_wait=3, migrate_database_wait=30)
        self.begin()
        self.release()

    def begin(self) -> None:
        """Bring the database to its old revision by Alembic itself, as the users of this collection have done."""
        self._alembic(self.target, OLD)
        self.target.fill()
        self.old = digest(self.target)

    @contextmanager
    def kept_until_the_end(self) -> Iterator[Scene]:
        """Take away at the end what a fault needs until then."""
        with self.kept:
            yield self
        if isinstance(self.target, MariaDBTarget):
            mariadb.drop_retained(self.target)
        if isinstance(self.target, PostgresTarget):
            server, database = self.target.database.server, self.target.database
            owned = f"datdba = '\"{database.user}\"'::regrole AND datname <> '{database.user}'"
            # What a swap has retained keeps the role from being dropped.
            for (name,) in server.execute(f"SELECT datname FROM pg_database WHERE {owned}"):
                server.drop_database(name)

    def release(self, upgrade: str = "", downgrade: str | None = DROP_PART) -> None:
        """Write a release of three revisions, whose middle one does what a fault wants."""
        self.source.add("0003", "0002", upgrade or f"{PART}\n{FILL_PART}", downgrade)
        rebuilt = "with op.batch_alter_table('item') as item:\n    item.alter_column('name', type_=sa.String({}))"
        self.source.add("0004", "0003", rebuilt.format(80), rebuilt.format(50))

    def leave(self) -> str:
        """The words of a revision that leaves behind what only a restore takes away."""
        if isinstance(self.target, MariaDBTarget):
            # A table that is new and empty would be dropped.
            return "op.execute('ALTER TABLE item MODIFY name VARCHAR(70)')"
        return "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE half (id int)')"

    # A revision that stops where the test wants it to

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    @property
    def reached(self) -> Path:
        return self.folder / "reached"

    def stop_here(self) -> str:
        """The words of a revision that waits for the gate; a clean upgrade goes through."""
        return (
            f"open({str(self.reached)!r}, 'w').close()\n"
            f"while not os.path.exists({str(self.gate)!r}) and 'CLEAN' not in os.environ:\n    time.sleep(0.02)"
        )

    def raise_here(self) -> str:
        """The words of a revision that fails until the fault is gone."""
        return f"if not os.path.exists({str(self.gate)!r}):\n    raise RuntimeError('fails on purpose')"

    @contextmanager
    def stopped_in(self, place: str) -> Iterator[Running]:
        """Run the migration up to a place in its second revision."""
        words = {"before": ["STOP", PART, FILL_PART], "in": [PART, "STOP", FILL_PART]}
        order = words.get(place, [PART, FILL_PART, "STOP"])
        self.release("\n".join(self.stop_here() if word == "STOP" else word for word in order))
        with self.started() as running:
            yield running

    @contextmanager
    def started(self, what: str = "revision 0003") -> Iterator[Running]:
        """Run the migration up to where something stops for the test, and let it go on afterwards."""
        with self.site.start("migrate", env=self.environment, **self.settings) as running:
            try:
                wait_until(lambda: self.reached.exists() or running.ended, f"{what} was not reached")
                assert self.reached.exists(), f"{what} was not reached:\n{running.output}"
                yield running
            finally:
                self.gate.touch()

    def each_in_its_own_transaction(self) -> None:
        """Let env.py commit after each revision, so that there is something to downgrade."""
        self.source.replace("connection=connection,", "connection=connection, transaction_per_migration=True,")

    @contextmanager
    def stopped_before_upgrade(self) -> Iterator[Running]:
        """Run the migration up to the moment between the backup and the upgrade, where env.py waits."""
        text = self.source.env.read_text()
        backed_up = str(self.site.root / "backups" / self.target.name / "[!.]*")
        stop = "\n".join(f"    {line}" for line in self.stop_here().splitlines())
        self.source.env.write_text(f"import glob\nimport os\nimport time\nif glob.glob({backed_up!r}):\n{stop}\n{text}")
        with self.started("env.py") as running:
            yield running
        self.source.env.write_text(text)

    # Runs

    def play(self, verb: str, *words: str, **variables: Any) -> ansible.Outcome:
        """Run a playbook to its end, whatever that is."""
        inventory = self.site.inventory(**{**self.settings, **variables})
        return ansible.playbook(PLAYBOOKS / f"{verb}.yml", *words, inventory=inventory, env=self.environment)

    def fails(self, **variables: Any) -> ansible.Outcome:
        """Run the migration, which must not pass for a success."""
        return self.play("migrate", **variables).ended(2)

    def end(self, running: Running) -> None:
        """Wait for a run, however it ends."""
        wait_until(lambda: running.ended, "the run does not end")

    def workers(self) -> dict[int, int]:
        """The worker's processes, each with its parent: our own run started them."""
        found = {}
        locks = {_file(path) for path in (self.site.root / "workers").glob("*")} - {_GONE}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                files = {_file(path) for path in (process / "fd").iterdir()}
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if files & locks:
                found[int(process.name)] = parent
        return found

    def kill(self, number: signal.Signals, all_processes: bool) -> None:
        """End the process that works on the database, or the whole worker with it."""
        found = self.workers()
        assert found
        for pid, parent in found.items():
            if all_processes or parent in found:
                os.kill(pid, number)

    # What became of the database

    def state(self) -> str:
        """Old or new exactly, or what the journal calls it; and nothing is left undecided behind our back."""
        wait_until(lambda: not self.workers(), "a worker does not end")
        now, revisions = digest(self.target), self.target.revisions
        if (now, revisions) == (self.old, [self.at]):
            return "old"
        outcomes = [event["event"] for event in self.site.events(self.target.name) if event["event"] in _REPORTS]
        if outcomes and outcomes[-1] == "held":
            return "held"
        return "new" if (now, revisions) == self.clean() else f"between, at {revisions}:\n{now}"

    def clean(self) -> tuple[str, list[str]]:
        """What Alembic alone makes of the old database with this release."""
        content = "".join(f"{path.name}{path.read_text()}" for path in sorted(self.source.versions.glob("*.py")))
        content = content.replace(str(self.folder), "FOLDER")
        key = (self.target.engine, hashlib.sha256(content.encode()).hexdigest())
        if key not in _clean:
            with self._another() as another:
                self._alembic(another, OLD)
                another.fill()
                self._alembic(another, "heads")
                _clean[key] = digest(another), another.revisions
        return _clean[key]

    @contextmanager
    def _another(self) -> Iterator[Target]:
        if isinstance(self.target, SQLiteTarget):
            yield SQLiteTarget(self.folder / f"clean-{secrets.token_hex(4)}.db")
            return
        if isinstance(self.target, MariaDBTarget):
            with mariadb.another(self.target) as another:
                yield another
            return
        assert isinstance(self.target, PostgresTarget)
        with owned_database(self.target.database.server) as database:
            yield PostgresTarget(database)

    def _alembic(self, target: Target, revision: str) -> None:
        python = Path(self.site.variables["migrate_virtualenv"]) / "bin" / "python"
        # SQLAlchemy's default driver differs between its versions; the virtualenv has this one.
        url = target.url.replace("postgresql://", "postgresql+psycopg2://")
        run([python, "-c", _CLEAN, url, revision], cwd=self.source.folder, env={"CLEAN": "1"})

    def assert_nothing_is_lost(self) -> None:
        """The old schema and the old rows lie in a backup, brought back by the database's own programs."""
        assert self.old in list(self._backed_up()), "the old rows are in no backup"

    def _backed_up(self) -> Iterator[str]:
        for folder in self.site.backups(self.target.name):
            dump = folder / json.loads((folder / "manifest.json").read_text())["dump"]
            if isinstance(self.target, PostgresTarget):
                with self._brought_back(self.target, dump) as name:
                    yield postgres_digest(self.target, name)
            elif isinstance(self.target, MariaDBTarget):
                with mariadb.loaded(self.target, dump) as name:
                    yield mariadb.digest(self.target, name)
            else:
                yield sqlite_digest(dump)

    @contextmanager
    def _brought_back(self, target: PostgresTarget, dump: Path) -> Iterator[str]:
        server, name = target.database.server, f"back_{secrets.token_hex(4)}"
        server.create_database(name, owner=target.name)
        run([server.bin / "pg_restore", "--exit-on-error", "--dbname", server.url(name), dump])
        yield name
        server.drop_database(name)

    # The way on

    def recover(self) -> None:
        """Type the printed command where the database is held, then migrate once more."""
        if self.state() == "held":
            self.type_the_restore_command()
            assert self.state() == "old"
        self.play("migrate", **_RETRY).ended(0)

    def type_the_restore_command(self) -> None:
        """Type the printed command; where the backup was damaged none is, and it has been brought back since."""
        held = [event for event in self.site.events(self.target.name) if event["event"] == "held"]
        back = held[-1]["ways_out"]["back"]
        if back.startswith(("not with ", "With the private key")):
            back = shlex.join(self._restore(self.site.backups(self.target.name)[-1].name))
        # What comes before a playbook is for the shell, and so is all of it where there is none.
        first, playbook, words = back.rpartition("ansible-playbook ")
        by_shell = first.removesuffix(" && ") if playbook else back
        if by_shell:
            typed = {}
            if isinstance(self.target, PostgresTarget):
                database = self.target.database
                typed = database.server.as_typed(database.user, database.password)
            if isinstance(self.target, MariaDBTarget):
                by_shell = mariadb.as_typed(self.target, by_shell)
            run(["sh", "-c", by_shell], env=typed)
        if playbook:
            name, *options = shlex.split(words)
            self.play(Path(name).stem, *options).ended(0)

    @staticmethod
    def _restore(run: str) -> list[str]:
        requested = f"migrate_restore_run={run} migrate_restore_loses_writes=true"
        return ["ansible-playbook", "playbooks/restore.yml", "--extra-vars", requested]

    def newest_dump(self) -> Path:
        folder = self.site.backups(self.target.name)[-1]
        return folder / str(json.loads((folder / "manifest.json").read_text())["dump"])


_GONE = (0, 0)


def _file(path: Path) -> tuple[int, int]:
    """Which file this is, wherever its path begins for the process that has it open."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return _GONE
    return facts.st_dev, facts.st_ino


_REPORTS = ("held", "restored", "downgraded", "verified", "begun")
