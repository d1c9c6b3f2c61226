from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from psycopg2.extensions import parse_dsn
from sqlalchemy import URL

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql import client_tools
from tests.codes import failed

LISTING = """;
;     dbname: shop
;
215; 1259 16386 TABLE public users shop
216; 1259 16390 TABLE public tags shop
3331; 0 16386 TABLE DATA public users shop
3332; 0 16390 TABLE DATA public tags shop
3180; 2606 16392 CONSTRAINT public users users_pkey shop
"""


def install(folder: Path, version: str) -> Path:
    """Make programs that say they are of a version."""
    folder.mkdir(parents=True)
    for name in ("pg_dump", "pg_restore"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "dump"
    folder.mkdir()
    for name in ("toc.dat", "3331.dat.gz", "3332.dat"):
        (folder / name).write_text("x")
    return folder


def test_a_password_is_in_the_environment_and_not_in_the_connection_string() -> None:
    url = URL.create("postgresql", "o'reilly\\", "hunter2", "db.example.net", 5433, "my shop", {"sslmode": "require"})

    dsn = client_tools.build_conninfo(url)

    assert "hunter2" not in dsn
    assert parse_dsn(dsn) == {
        "user": "o'reilly\\",
        "host": "db.example.net",
        "port": "5433",
        "dbname": "my shop",
        "sslmode": "require",
    }
    assert client_tools.build_environment(url, "hosting.alembic r1")["PGPASSWORD"] == "hunter2"


def test_a_url_without_a_password_leaves_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)

    assert "PGPASSWORD" not in client_tools.build_environment(URL.create("postgresql", "u"), "x")


def test_options_of_a_driver_do_not_reach_libpq() -> None:
    url = URL.create("postgresql", "u", host="h", database="d", query={"prepared_statement_cache_size": "0"})

    assert parse_dsn(client_tools.build_conninfo(url)) == {"host": "h", "user": "u", "dbname": "d"}


def test_the_folder_that_is_named_is_used(tmp_path: Path) -> None:
    install(tmp_path / "bin", "9.6.24")

    found = client_tools.find_tools(str(tmp_path / "bin"))

    assert found is not None
    assert (found.version, found.major) == ("9.6.24", 9)
    assert client_tools.find_tools(str(tmp_path)) is None


def test_the_newest_on_the_host_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", "999.1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    found = client_tools.find_tools("")

    assert found is not None
    assert (found.folder, found.major) == (tmp_path / "bin", 999)


def test_a_whole_archive_is_proven(archive: Path) -> None:
    files = sorted(archive.iterdir())
    client_tools.check_archive(LISTING, archive, "shop", 2)
    spaced = LISTING.replace("dbname: shop", "dbname: a shop")
    client_tools.check_archive(spaced, archive, "a\nshop", 2)
    with failed("dump-invalid"):
        client_tools.check_archive(spaced, archive, "shop", 2)
    assert sorted(archive.iterdir()) == files


@pytest.mark.parametrize(
    ("database", "count", "gone", "named"),
    [
        ("other", 2, "", ()),
        ("sho", 2, "", ()),
        ("shop", 3, "", (2, 3)),
        ("shop", 1, "", (2, 1)),
        ("shop", 2, "3331.dat.gz", (3331,)),
        ("shop", 2, "3332.dat", (3332,)),
    ],
)
def test_an_archive_that_holds_something_else_is_not(
    archive: Path, database: str, count: int, gone: str, named: tuple[int, ...]
) -> None:
    if gone:
        (archive / gone).unlink()

    with failed("dump-invalid", *named):
        client_tools.check_archive(LISTING, archive, database, count)


def test_a_program_that_fails_is_reported_in_its_own_words(archive: Path) -> None:
    with failed("client-program-failed", "sh", 3, "it says why"):
        client_tools.run_tool(
            ["/bin/sh", "-c", "echo it says why >&2; exit 3"], dict(os.environ), archive, lambda _: None
        )


def test_how_far_a_program_is_is_reported_meanwhile(archive: Path) -> None:
    printed: list[str] = []
    output = client_tools.run_tool(["/bin/sh", "-c", "sleep 0.7; echo done"], dict(os.environ), archive, printed.append)

    assert output == "done\n"
    assert printed[0] == "3 bytes dumped in 1 s"


def test_an_error_of_ours_ends_the_program(archive: Path) -> None:
    pid = archive / "pid"

    def stop(_printed: str) -> None:
        raise KeyboardInterrupt

    command = [
        sys.executable,
        "-c",
        f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)",
    ]
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client_tools.run_tool(command, dict(os.environ), archive, stop)

    assert time.monotonic() - begun < 10
    assert not Path(f"/proc/{pid.read_text()}").exists()
