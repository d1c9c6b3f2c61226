"""A real MariaDB server for the length of a test: its own folder, a private port, nothing of the machine's."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .server import Server, free_port
from .shell import CommandFailed, run

USER = "mysql"
_PATIENCE = 60


def program(name: str) -> str:
    """The path of one of the server's programs, some of which are in the PATH of root only."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise CommandFailed(f"there is no {name}; tests/install installs mariadb-server")
    return found


def literal(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(kw_only=True)
class MariaDBServer(Server):
    """A server of MariaDB."""

    prefix = "hosting-alembic-my-"
    scheme = "mysql+pymysql"

    # What is proven about crashes needs durable commits; most tests do not, and are faster without.
    durable: bool = True
    user: str = "admin"
    process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def socket(self) -> Path:
        return self.folder / "server.sock"

    def initialise(self) -> None:
        self.folder.chmod(0o711)
        as_user = []
        # A server that starts removes what it takes for its own from the folder for temporary files: even another's.
        for folder in (self.folder, self.data, self.temporary):
            folder.mkdir(exist_ok=True)
            if os.getuid() == 0:
                shutil.chown(folder, USER, USER)
        if os.getuid() == 0:
            as_user = [f"--user={USER}"]
        run(
            [program("mariadb-install-db"), "--no-defaults", *as_user, f"--datadir={self.data}", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--skip-name-resolve"],
            cwd="/",
            env={"TMPDIR": str(self.temporary)},
        )  # fmt: skip

    def start(self) -> None:
        """Start it; also after `stop`, on the same port, with the data it had."""
        self.port = self.port or free_port()
        settings = {
            "datadir": str(self.data),
            "tmpdir": str(self.temporary),
            "socket": str(self.socket),
            "pid-file": str(self.folder / "server.pid"),
            "log-error": str(self.log_file),
            "bind-address": self.host,
            "port": str(self.port),
            "skip-name-resolve": "on",
            "innodb-flush-log-at-trx-commit": "1" if self.durable else "0",
            "innodb-buffer-pool-size": "64M",
            "innodb-log-file-size": "32M",
            "max-connections": "200",
            **({"user": USER} if os.getuid() == 0 else {}),
            **self.settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        nothing = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [program("mariadbd"), "--no-defaults", *options], stdin=nothing, stdout=nothing, stderr=nothing, cwd="/"
        )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise CommandFailed(f"mariadbd did not start:\n{self.logged()}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it: SIGTERM lets it finish its work, SIGKILL is a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(_PATIENCE)
            self.process = None

    def execute(self, statement: str, database: str = "") -> list[list[str]]:
        """Run SQL as the superuser through the client, which is none of the code that is tested; rows as text."""
        return self._execute(statement, database, self.user, self.password)

    def dump(self, database: str) -> str:
        """What mariadb-dump writes of a database as the superuser, without the time, and what restores retain in it."""
        retained = self.execute("show tables like 'hosting\\_alembic\\_old\\_%'", database)
        options = [f"--ignore-table={database}.{name}" for (name,) in retained]
        options += ["--routines", "--triggers", "--events", "--hex-blob", "--skip-dump-date", "--single-transaction"]
        return run(
            [program("mariadb-dump"), "--no-defaults", f"--socket={self.socket}", f"--user={self.user}", *options,
             database],
            env={"MYSQL_PWD": self.password},
        )  # fmt: skip

    def create_user(self, name: str, password: str = "") -> str:
        """Make a user without any rights; return its password."""
        password = password or secrets.token_urlsafe(12)
        self.execute(f"CREATE USER {literal(name)}@'%' IDENTIFIED BY {literal(password)}")
        return password

    def create_database(self, name: str, owner: str = "") -> str:
        """Make an empty database; return its URL as the superuser. An owner is a user who gets all rights on it."""
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        if owner:
            pattern = name.replace("_", "\\_")
            self.execute(f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO {literal(owner)}@'%'")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def _execute(self, statement: str, database: str, user: str, password: str) -> list[list[str]]:
        output = run(
            [program("mariadb"), "--no-defaults", "--batch", "--skip-column-names", f"--socket={self.socket}",
             f"--user={user}", *([f"--database={database}"] if database else [])],
            text=statement,
            env={"MYSQL_PWD": password},
        )  # fmt: skip
        return [line.split("\t") for line in output.splitlines()]

    def _answers(self) -> bool:
        words = [program("mariadb-admin"), "--no-defaults", f"--socket={self.socket}", "--user=root", "ping"]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def make_superuser(self) -> None:
        superuser = f"{literal(self.user)}@'%'"
        self._execute(
            f"CREATE USER {superuser} IDENTIFIED BY {literal(self.password)};"
            f"GRANT ALL PRIVILEGES ON *.* TO {superuser} WITH GRANT OPTION",
            "",
            "root",
            "",
        )

    def crash(self) -> None:
        self.stop(signal.SIGKILL)
