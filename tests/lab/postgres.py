"""A real PostgreSQL server for the length of a test: its own folder, a private port, nothing of the machine's."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from .shell import CommandFailed, run

USER = "postgres"


#: Names the folder of another version's programs: make test-postgresql-versions.
BIN = "HOSTING_ALEMBIC_POSTGRESQL_BIN"


def newest_bin() -> Path:
    """The programs that are named, or those of the newest server where Debian keeps them beside each other."""
    if BIN in os.environ:
        return Path(os.environ[BIN])
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise CommandFailed("no PostgreSQL server below /usr/lib/postgresql; tests/install installs one")
    return found[-1].parent


def free_port() -> int:
    """A port that no program listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class PostgresServer:
    """Use it in a ``with`` block: started on the way in; stopped and removed on the way out, whatever happened."""

    # What is proven about crashes needs fsync; most tests do not, and are faster without.
    fsync: bool = True
    settings: dict[str, str] = field(default_factory=dict)
    # Where the server's log is kept after the server is gone.
    log: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    user: str = USER
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    folder: Path = field(init=False, default=Path())
    bin: Path = field(default_factory=newest_bin)

    def __enter__(self) -> PostgresServer:
        self.folder = Path(tempfile.mkdtemp(prefix="hosting-alembic-pg-"))
        try:
            self.initialise()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    def url(self, database: str = "postgres", *, user: str = "", password: str = "", driver: str = "") -> str:
        """A SQLAlchemy URL; without a user, the superuser's."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        user, password = (user, password) if user else (self.user, self.password)
        credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"{scheme}://{credentials}@{self.host}:{self.port}/{quote(database, safe='')}"

    def initialise(self) -> None:
        if os.getuid() == 0:
            # initdb and postgres refuse to run as root.
            shutil.chown(self.folder, USER, USER)
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # the folder itself is closed to others
        self._run(
            "initdb", f"--pgdata={self.data}", f"--username={self.user}", f"--pwfile={secret}", "--encoding=UTF8",
            "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync",
        )  # fmt: skip
        secret.unlink()

    def start(self) -> None:
        """Start it; also after `stop`, on the same port, with the data it had."""
        self.port = self.port or free_port()
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if self.fsync else "off",
            "max_connections": "200",
            **self.settings,
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        try:
            self._run("pg_ctl", "start", "--wait", "-D", str(self.data), "-l", str(self.log_file), "-o", options)
        except CommandFailed as error:
            text = self.log_file.read_text() if self.log_file.exists() else ""
            raise CommandFailed(f"{error}\n{text}") from None

    def stop(self, mode: str = "fast") -> None:
        """Stop it: smart waits for clients, fast sends them away, immediate is a crash."""
        self._run("pg_ctl", "stop", "--wait", "-D", str(self.data), "-m", mode)

    def execute(self, statement: str, database: str = "postgres") -> list[list[str]]:
        """Run SQL as the superuser through psql, which is none of the code that is tested; return the rows as text."""
        output = run(
            [self.bin / "psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--field-separator=\t",
             "--set=ON_ERROR_STOP=1", "--dbname", database, "--host", self.host, "--port", str(self.port),
             "--username", self.user],
            text=statement,
            env={"PGPASSWORD": self.password},
        )  # fmt: skip
        return [line.split("\t") for line in output.splitlines()]

    def create_role(self, name: str, password: str = "", options: str = "LOGIN") -> str:
        """Make a role without any of the superuser's powers, as customers have; return its password."""
        password = password or secrets.token_urlsafe(12)
        self.execute(f"CREATE ROLE \"{name}\" {options} PASSWORD '{password}'")
        return password

    def create_database(self, name: str, owner: str = "") -> str:
        """Make an empty database; return its URL as the superuser. An owner is a role that is there already."""
        belongs = f' OWNER "{owner}"' if owner else ""
        self.execute(f'CREATE DATABASE "{name}"{belongs}')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _run(self, program: str, *words: str) -> str:
        argv = [str(self.bin / program), *words]
        if os.getuid() == 0:
            pwd.getpwnam(USER)  # checked here, rather than by runuser in the middle of a test
            argv = ["runuser", "-u", USER, "--", *argv]
        # The folder a test is in may be closed to the user the server runs as.
        return run(argv, cwd="/")

    def _remove(self) -> None:
        try:
            if (self.data / "postmaster.pid").exists():
                self.stop("immediate")
        finally:
            if self.log and self.log_file.exists():
                self.log.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.log_file, self.log)
            shutil.rmtree(self.folder, ignore_errors=True)
