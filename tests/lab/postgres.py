"""A real PostgreSQL server for the length of a test: its own folder, a private port, nothing of the machine's."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from .server import Server, free_port
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


@dataclass(kw_only=True)
class PostgresServer(Server):
    """A server of PostgreSQL."""

    prefix = "hosting-alembic-pg-"
    scheme = "postgresql"

    # What is proven about crashes needs fsync; most tests do not, and are faster without.
    fsync: bool = True
    user: str = USER
    #: What initdb is given of the locale; a new database has the same by itself.
    locale: tuple[str, ...] = ("--locale=C.UTF-8",)
    bin: Path = field(default_factory=newest_bin)

    def url(
        self, database: str = "postgres", *, user: str = "", password: str = "", scheme: str = "", driver: str = ""
    ) -> str:
        """A SQLAlchemy URL; without a user, the superuser's."""
        scheme = f"{self.scheme}+{driver}" if driver else scheme
        return super().url(database, user=user, password=password, scheme=scheme)

    def initialise(self) -> None:
        if os.getuid() == 0:
            # initdb and postgres refuse to run as root.
            shutil.chown(self.folder, USER, USER)
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # the folder itself is closed to others
        self._run(
            "initdb", f"--pgdata={self.data}", f"--username={self.user}", f"--pwfile={secret}", "--encoding=UTF8",
            *self.locale, "--auth=scram-sha-256", "--no-sync",
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
            raise CommandFailed(f"{error}\n{self.logged()}") from None

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

    def as_typed(self, user: str, password: str) -> dict[str, str]:
        """Return the environment of a person who has the passwords of an administrator and of a database's owner."""
        logins = {self.user: self.password, user: password}
        path = self.folder / f"pgpass-{secrets.token_hex(4)}"
        escaped = [(name.replace("\\", "\\\\").replace(":", "\\:"), word) for name, word in logins.items()]
        path.write_text("".join(f"*:*:*:{name}:{word}\n" for name, word in escaped))
        path.chmod(0o600)
        return {"PGPASSFILE": str(path), "PATH": f"{self.bin}:{os.environ['PATH']}"}

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
        return run(argv, cwd="/", env=self._environment)

    @property
    def _environment(self) -> dict[str, str]:
        """Have the extensions of a server that was fetched find its own libpq, not the older one of the machine."""
        libraries = self.bin.parent / "lib"
        return {"LD_LIBRARY_PATH": str(libraries)} if (libraries / "libpq.so.5").exists() else {}

    def crash(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
