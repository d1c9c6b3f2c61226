"""Databases for examples: made by psql and sqlite3, migrated by the product's own Python on the host's side."""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._worker.follow import is_alive
from tests.lab.postgres import PostgresServer
from tests.lab.shell import CommandFailed, run
from tests.lab.waiting import wait_until
from tests.property.examples import Example, text_of
from tests.property.oracle import Entries, postgres_entries, sqlite_entries
from tests.unit.stage import FIXTURES, Answer, Host

_STAMP = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, PRIMARY KEY (version_num))",
    "INSERT INTO alembic_version VALUES ('0001')",
)
_SUBSCRIPTIONS = """
SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_OPTIONS = {"lock_timeout": 1, "lock_wait": 2, "database_wait": 10, "backup_jobs": 1, "follow": 120}
_FIRST = '"""as it was"""\nrevision = "0001"\ndown_revision = None\n\n\ndef upgrade():\n    pass\n'


class World(ABC):
    """One database of one host, in the state in which an example finds it."""

    url: str

    def __init__(self, folder: Path, example: Example) -> None:
        self.folder = folder
        self.example = example
        self.host = Host(folder / "root")
        self._runs = 0
        self._release()

    def _release(self) -> None:
        shutil.rmtree(self.host.layout.releases, ignore_errors=True)
        release = self.host.layout.release(self.host.ship("generic", "property"))
        migrations = release / "source" / "migrations"
        env = migrations / "env.py"
        if self.example.per_migration:
            configured = "connection=connection, transaction_per_migration=True,"
            env.write_text(env.read_text().replace("connection=connection,", configured))
        versions = migrations / "versions"
        for path in versions.glob("*.py"):
            path.unlink()
        (versions / "0001.py").write_text(_FIRST)
        for number, revision in enumerate(self.example.revisions, 2):
            (versions / f"{number:04}.py").write_text(text_of(number, revision))

    @property
    def database(self) -> Database:
        return Database.from_options({"name": "app", "url": self.url})

    def do(self, verb: str, run: str = "r1", **options: Any) -> Answer:
        """Have a verb done by its worker, as a module would, and return the database's result."""
        given = {**_OPTIONS, "run": run, **self.example.options, **options}
        try:
            answer = self.host.do(verb, self.database, **given)
        except Refused as refusal:
            return {"outcome": "refused", "error": refusal.as_facts()}
        assert answer["finished"], f"{verb} did not end: {answer['lines']}"
        # It has written its result, and tidies up.
        job = self.host.job(verb, self.database, **given)
        wait_until(lambda: not is_alive(job, verb), f"the worker of {verb} does not end")
        return dict(answer["results"][0]) if answer["results"] else {"outcome": "nothing to do"}

    def type_command(self, command: str) -> Answer:
        """Do what a printed command says: a playbook by its verb and its variables, all before it by a shell."""
        before, _ansible, _rest = command.partition("ansible-playbook ")
        answer: Answer = {"outcome": "typed", "command": command}
        if before:
            shell = ["bash", "-c", before.strip().removesuffix("&&")]
            environment = {**os.environ, **self.environment}
            done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return {**answer, "outcome": "failed", "error": done.stderr}
        words = shlex.split(command.removeprefix(before))
        playbooks = [word for word in words if word.endswith(".yml") or word.startswith("hosting.alembic.")]
        if not playbooks:
            return answer
        verb = Path(playbooks[0]).stem.rpartition(".")[2]
        options: dict[str, Any] = {}
        for key, value in _extra_variables(words):
            plain = key.removeprefix("migrate_").removeprefix(f"{verb}_")
            if plain == "run":
                options["of_run"] = value
            elif plain in ("backup", "method"):
                options[{"method": "restore_method"}.get(plain, plain)] = value
            elif plain == "loses_writes":
                options["restore_loses_writes"] = str(value).lower() == "true"
            elif plain == "databases":
                assert value == ["app"]
                options.update({"only": value} if verb == "rollback" else {})
        self._runs += 1
        return {**self.do(verb, f"typed{self._runs}", **options), "command": command}

    def newest_backup(self) -> tuple[Path, dict[str, Any]]:
        """The dump of the run's own backup, and its manifest."""
        folder = self.host.layout.locate_backups("app") / "r1"
        manifest = json.loads((folder / "manifest.json").read_text())
        return folder / manifest["dump"], manifest

    environment: dict[str, str] = {}  # noqa: RUF012 - each engine has its own

    @abstractmethod
    def entries(self) -> Entries:
        """What it holds now."""

    @abstractmethod
    def old_again(self) -> Entries:
        """What a restore of a dump of the old database gives: some expressions are rendered anew by it."""

    @abstractmethod
    def backup_entries(self) -> Entries:
        """What the run's backup holds, restored by the database's own programs."""

    @abstractmethod
    def clean(self) -> Entries | str:
        """What Alembic alone makes of the old database, or why it fails."""

    @abstractmethod
    def close(self) -> None:
        """Take everything away."""


def _extra_variables(words: list[str]) -> Iterable[tuple[str, Any]]:
    for flag, value in zip(words, words[1:]):
        if flag not in ("-e", "--extra-vars"):
            continue
        if value.startswith("{"):
            yield from json.loads(value).items()
            continue
        for pair in shlex.split(value):
            key, _equals, text = pair.partition("=")
            yield key, text


class PostgresWorld(World):
    """A database of the session's server, with the session's owner, who is not a superuser."""

    def __init__(self, server: PostgresServer, owner: tuple[str, str], folder: Path, example: Example) -> None:
        self.server = server
        self.owner, self._password = owner
        self.name = self._create()
        self.url = self._url(self.name)
        rights = ("" if example.may_create else "NO") + "CREATEDB " + ("" if example.superuser else "NO") + "SUPERUSER"
        server.execute(f'ALTER ROLE "{self.owner}" {rights}')
        super().__init__(folder, example)
        self._make(self.name)
        self._dump = folder / "old.dump"
        run([server.bin / "pg_dump", "--format=custom", "--file", self._dump, "--dbname", server.url(self.name)])
        # Some commands are for the owner of the database, and some for a superuser.
        users = {self.owner: self._password, server.user: server.password}
        passwords = folder / "pgpass"
        passwords.write_text("".join(f"*:*:*:{user}:{password}\n" for user, password in users.items()))
        passwords.chmod(0o600)
        self.environment = {"PGPASSFILE": str(passwords)}

    def _url(self, name: str) -> str:
        return self.server.url(name, user=self.owner, password=self._password, driver="psycopg2")

    def _create(self) -> str:
        name = f"prop_{secrets.token_hex(6)}"
        self.server.create_database(name, owner=self.owner)
        return name

    def _make(self, name: str) -> None:
        """As the owner, whose default privileges and settings count."""
        script = ";\n".join([*self.example.setup, *_STAMP, ""])
        url = self.server.url(name, user=self.owner, password=self._password)  # psql knows no drivers
        run([self.server.bin / "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", url], text=script)

    def entries(self) -> Entries:
        return self._of(self.name)

    def _of(self, name: str) -> Entries:
        return postgres_entries(self.server, name, self.owner)

    def _restored(self, dump: Path) -> Entries:
        return self._of(self.scratch(dump))

    def scratch(self, dump: Path) -> str:
        """Restore a dump into a database of its own, and return its name."""
        name = self._create()
        command = [self.server.bin / "pg_restore", "--dbname", self.server.url(name), dump]
        # A schema public with an owner or privileges of its own is there already.
        subprocess.run([str(word) for word in command], capture_output=True, check=False)
        return name

    def old_again(self) -> Entries:
        return self._restored(self._dump)

    def backup_entries(self) -> Entries:
        return self._restored(self.newest_backup()[0])

    def clean(self) -> Entries | str:
        name = self._create()
        self._make(name)
        failed = alembic_alone(self.host, self._url(name))
        return failed or self._of(name)

    def close(self) -> None:
        owned = self.server.execute(f"SELECT datname FROM pg_database WHERE datdba = '\"{self.owner}\"'::regrole")
        for (name,) in owned:
            # A database with a subscription is not dropped.
            for (subscription,) in self.server.execute(_SUBSCRIPTIONS, name):
                self.server.execute(f'DROP SUBSCRIPTION "{subscription}"', name)
            self.server.drop_database(name)


class SQLiteWorld(World):
    """A file."""

    def __init__(self, folder: Path, example: Example) -> None:
        self.path = folder / "app.db"
        self.url = f"sqlite:///{self.path}"
        super().__init__(folder, example)
        self._make(self.path)
        self._old = folder / "old.db"
        shutil.copyfile(self.path, self._old)

    def _make(self, path: Path) -> None:
        script = ";\n".join([f"PRAGMA journal_mode = {self.example.journal_mode}", *self.example.setup, *_STAMP, ""])
        run(["sqlite3", "-bail", path], text=script)

    def entries(self) -> Entries:
        return sqlite_entries(self.path)

    def old_again(self) -> Entries:
        return sqlite_entries(self._old)

    def backup_entries(self) -> Entries:
        return sqlite_entries(self.newest_backup()[0])

    def clean(self) -> Entries | str:
        path = self.folder / "clean.db"
        self._make(path)
        return alembic_alone(self.host, f"sqlite:///{path}") or sqlite_entries(path)

    def close(self) -> None:
        """The folder goes with the example."""


def alembic_alone(host: Host, url: str) -> str:
    """Upgrade by Alembic itself, in a process of its own; return why it failed, or nothing."""
    ini = host.layout.release("property") / "source" / "alembic.ini"

    def upgrade() -> None:
        from alembic import command  # noqa: PLC0415 - what is compared with comes into no process of ours
        from alembic.config import Config  # noqa: PLC0415

        config = Config(str(ini))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        command.upgrade(config, "heads")

    return forked(upgrade)


def forked(function: Callable[[], None]) -> str:
    """Call a function in a forked process; return the last line of what it raised."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)

    def task() -> None:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the process ends with it
        try:
            function()
            writer.send("")
        except BaseException:  # noqa: BLE001 - whatever a revision raises
            writer.send(traceback.format_exc())

    process = context.Process(target=task)
    process.start()
    writer.close()
    try:
        printed = str(reader.recv()) if reader.poll(120) else "it took too long"
    except EOFError:
        printed = "its process died"
    process.join(1)
    if process.is_alive():
        process.kill()
    return printed


__all__ = ["FIXTURES", "CommandFailed", "PostgresWorld", "SQLiteWorld", "World"]
