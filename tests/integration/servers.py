"""Other servers than the usual one: a clone and a standby of it, and a connection pooler before it."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from tests.integration.targets import PostgresTarget
from tests.lab.postgres import USER, PostgresServer
from tests.lab.server import free_port


@dataclass
class Clone(PostgresServer):
    """A server of its own with a copy of another one's files, as two that were made from one image."""

    primary: PostgresServer | None = None

    def initialise(self) -> None:
        assert self.primary
        subprocess.run(["chown", USER, self.folder], check=True)
        self.user, self.password = self.primary.user, self.primary.password
        url = self.primary.url()
        self._run("pg_basebackup", *self.options, "--checkpoint=fast", f"--dbname={url}", "-D", str(self.data))

    @property
    def options(self) -> tuple[str, ...]:
        """What pg_basebackup is given besides."""
        return ()


@dataclass
class Standby(Clone):
    """A hot standby of another server."""

    @property
    def options(self) -> tuple[str, ...]:
        return ("--write-recovery-conf",)


@dataclass
class Pooler:
    """pgbouncer in transaction mode before one database, with a single connection to the server for all clients."""

    postgres: PostgresTarget
    folder: Path
    port: int = 0

    @property
    def url(self) -> str:
        server = self.postgres.database.server
        return self.postgres.url.replace(f":{server.port}/", f":{self.port}/")

    def __enter__(self) -> Pooler:
        database, server = self.postgres.database, self.postgres.database.server
        self.port = free_port()
        (self.folder / "users.txt").write_text(f'"{database.user}" "{database.password}"\n')
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={server.host} port={server.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {self.folder / 'users.txt'}\n"
            "pool_mode = transaction\ndefault_pool_size = 1\n"
        )
        self.folder.chmod(0o755)
        # It refuses to run as root, as the server does.
        self._process = subprocess.Popen(
            ["runuser", "-u", USER, "--", "/usr/sbin/pgbouncer", "--quiet", settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                psycopg2.connect(self.url).close()
                return
            except psycopg2.OperationalError:
                assert self._process.stdout
                assert self._process.poll() is None, self._process.stdout.read()
                assert time.monotonic() < deadline, "pgbouncer does not answer"
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        assert self._process.stdout
        self._process.stdout.close()
