"""env.py as a user of its own who is let into PostgreSQL by who it is: a socket, and no password anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.integration.site import Site
from tests.integration.targets import PostgresTarget

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")

USER, UID = "nobody", 65534


@pytest.fixture
def open_site() -> Iterator[Site]:
    """A host whose folders a user can come through, as those of a host are, with a Python that it can read."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        subprocess.run([f"/usr/bin/{version}", "-m", "venv", "--without-pip", folder / "venv"], check=True)
        (library,) = folder.glob("venv/lib/python*/site-packages")
        (packages,) = Path(sys.prefix).resolve().glob("lib/python*/site-packages")
        (library / "tests.pth").write_text(f"{packages}\n")
        variables = {
            "migrate_root": str(folder / "root"),
            "migrate_virtualenv": str(folder / "venv"),
            "migrate_manifests": str(folder / "manifests"),
        }
        yield Site(folder, variables)


@contextmanager
def peers(postgres: PostgresTarget) -> Iterator[str]:
    """Let root and the user into the database by who they are, and by nothing else; yield its URL."""
    server, role = postgres.database.server, postgres.database.user
    server.folder.chmod(0o711)
    rules, users = server.data / "pg_hba.conf", server.data / "pg_ident.conf"
    before = [path.read_text() for path in (rules, users)]
    rules.write_text(f'local "{postgres.name}" "{role}" peer map=migrations\n' + before[0])
    users.write_text(f'{before[1]}\nmigrations root "{role}"\nmigrations {USER} "{role}"\n')
    server.execute("select pg_reload_conf()")
    try:
        yield f"postgresql://{role}@/{postgres.name}?host={server.folder}&port={server.port}"
    finally:
        rules.write_text(before[0])
        users.write_text(before[1])
        server.execute("select pg_reload_conf()")
        server.folder.chmod(0o700)


def test_a_peer_of_postgresql_migrates_and_reverts_a_failure(open_site: Site, postgres: PostgresTarget) -> None:
    source, notes = open_site.source("generic"), open_site.folder / "notes"
    notes.mkdir()
    notes.chmod(0o1777)
    source.env.write_text(
        f'import os\nopen("{notes}/" + str(os.getpid()), "w").write(str(os.getresuid()))\n' + source.env.read_text()
    )
    with peers(postgres) as url:
        options: dict[str, Any] = {
            "migrate_databases": [{"name": "shop", "url": url}],
            "migrate_source": source,
            "migrate_run_as": USER,
        }
        open_site.run("migrate", **options)
        assert postgres.revisions == ["0002"]
        postgres.fill()
        before = postgres.dump()

        source.add("0003", "0002", 'op.execute("create table more (id int)")\nraise RuntimeError("no")')
        open_site.run("migrate", code=2, **options)
        assert postgres.dump() == before

    assert {path.read_text() for path in notes.iterdir()} == {str((UID,) * 3)}
    assert {path.stat().st_uid for path in (open_site.root / "backups").rglob("*")} == {0}
