"""PgBouncer is paused while its databases change: clients wait, and see no error."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.codes import assert_code
from tests.integration.site import Site, assert_says
from tests.integration.targets import PostgresTarget
from tests.lab.postgres import USER
from tests.lab.server import free_port


@dataclass
class Console:
    """A pooler in transaction mode with an administrator."""

    postgres: PostgresTarget
    folder: Path
    port: int = 0

    @property
    def pooled(self) -> str:
        return self.postgres.url.replace(f":{self.postgres.database.server.port}/", f":{self.port}/")

    @property
    def url(self) -> str:
        return f"postgresql://boss@127.0.0.1:{self.port}/pgbouncer"

    def __enter__(self) -> Console:
        database, server = self.postgres.database, self.postgres.database.server
        self.port = free_port()
        users = self.folder / "users.txt"
        users.write_text(f'"{database.user}" "{database.password}"\n"boss" "sesame"\n')
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{database.name} = host={server.host} port={server.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\nadmin_users = boss\npool_mode = transaction\n"
            "query_wait_timeout = 0\n"
        )
        self.folder.chmod(0o755)
        self._process = subprocess.Popen(
            ["runuser", "-u", USER, "--", "/usr/sbin/pgbouncer", "--quiet", settings],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.paused()
                return self
            except psycopg2.OperationalError:
                assert time.monotonic() < deadline, "pgbouncer does not answer"
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)

    def paused(self) -> dict[str, bool]:
        with closing(psycopg2.connect(self.url, password="sesame")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SHOW DATABASES")
                names = [column[0] for column in cursor.description or ()]
                rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return {row["name"]: str(row["paused"]) == "1" for row in rows}


@pytest.fixture
def console(postgres: PostgresTarget) -> Iterator[Console]:
    # The user that it runs as may not come into a test's own folder.
    with (
        tempfile.TemporaryDirectory(prefix="hosting-alembic-console-") as folder,
        Console(postgres, Path(folder)) as running,
    ):
        yield running


def settings_for(site: Site, postgres: PostgresTarget, console: Console) -> dict[str, Any]:
    entry = {"name": "shop", "url": console.pooled, "direct_url": postgres.url}
    settings: dict[str, Any] = {"migrate_databases": [entry]}
    site.run("migrate", migrate_source=site.source("broken", "first").keep("0001"), **settings)
    settings["migrate_source"] = site.source("broken").keep("0001", "0002")
    settings.update(migrate_pgbouncer_url=console.url, migrate_pgbouncer_password="sesame")
    return settings


def test_clients_wait_while_the_pool_is_paused_and_none_sees_an_error(
    site: Site, postgres: PostgresTarget, console: Console, tmp_path: Path
) -> None:
    settings = settings_for(site, postgres, console)
    gate = tmp_path / "gate"
    waits = f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.05)"
    settings["migrate_source"].add("0003", "0002", waits)
    seen: list[Any] = []

    def execute() -> None:
        with client, client.cursor() as cursor:
            cursor.execute("SELECT version_num FROM alembic_version")
            seen.append(cursor.fetchone())

    with closing(psycopg2.connect(console.pooled)) as client, site.start("migrate", **settings) as running:
        execute()
        running.wait_for("0003", seconds=240)
        assert console.paused()[postgres.name]
        waiting = threading.Thread(target=execute)
        waiting.start()
        gate.touch()
        output = running.end(seconds=240)
        waiting.join(30)
    assert seen == [("0001",), ("0003",)]
    assert not console.paused()[postgres.name]
    assert_says(output, f"pool {postgres.name}")
    assert "sesame" not in output


def test_what_does_not_let_go_is_given_up_and_nothing_is_changed(
    site: Site, postgres: PostgresTarget, console: Console
) -> None:
    settings = settings_for(site, postgres, console)
    with closing(psycopg2.connect(console.pooled)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # a transaction under way
        assert_code(
            site.run("migrate", code=2, migrate_pgbouncer_timeout=2, **settings),
            "pgbouncer-pause-timeout",
            postgres.name,
        )
        assert not console.paused()[postgres.name]
        cursor.execute("SELECT 2")
    assert postgres.revisions == ["0001"]
    assert not (site.root / "maintenance.json").exists()

    entry = {"name": "shop", "url": console.pooled}
    output = site.run("migrate", code=2, **{**settings, "migrate_databases": [entry]}).output
    assert_says(output, "direct_url")
    assert postgres.revisions == ["0001"]
