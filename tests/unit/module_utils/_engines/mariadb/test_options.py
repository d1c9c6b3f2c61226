"""A URL reaches the same server by the client programs as by the driver, and no other user reads its secrets."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import client_tools
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.options import (
    build_client_options,
    build_option_file,
    build_own_query,
)
from tests.lab.mariadb import MariaDBServer, literal

VERIFY = "loose-ssl-verify-server-cert"


def options(url: str, driver: str = "pymysql") -> dict[str, str]:
    return build_client_options(sa.engine.make_url(url), driver)


@pytest.mark.parametrize(
    ("url", "driver", "expected"),
    [
        ("mysql://u:p@db:3307/app", "pymysql", {"host": "db", "port": "3307", "protocol": "tcp"}),
        ("mysql://u:p@localhost/app", "pymysql", {"host": "localhost", "protocol": "tcp"}),
        ("mysql://u:p@localhost/app", "mysqldb", {"host": "localhost"}),
        ("mysql://u:p@db/app", "mariadbconnector", {"host": "db", "protocol": "tcp"}),
        ("mysql://u:p@/app?unix_socket=/run/s", "pymysql", {"socket": "/run/s", "protocol": "socket"}),
        ("mysql://u:p@h/app?unix_socket=/run/s", "asyncmy", {"socket": "/run/s", "protocol": "socket"}),
    ],
)
def test_where_it_leads(url: str, driver: str, expected: dict[str, str]) -> None:
    assert options(url, driver) == {"user": "u", "password": "p", VERIFY: "0", **expected}


@pytest.mark.parametrize(
    ("query", "verify"),
    [
        ("", "0"),
        ("ssl_ca=/ca", "1"),
        ("ssl_capath=/cas", "1"),
        ("ssl_ca=/ca&ssl_check_hostname=false", "0"),
        ("ssl_verify_cert=true", "1"),
        ("ssl_cert=/c&ssl_key=/k", "0"),
    ],
)
def test_a_certificate_is_verified_where_the_driver_verifies_it(query: str, verify: str) -> None:
    assert options(f"mysql://u@db/app?{query}")[VERIFY] == verify


def test_own_connections_speak_in_the_characters_that_hold_all_others() -> None:
    url = sa.engine.make_url("mysql://u@db/app?charset=latin1&init_command=x&ssl_ca=/ca")
    assert build_own_query(url, "pymysql") == {"charset": "utf8mb4", "ssl_ca": "/ca"}
    assert build_own_query(url, "mariadbconnector") == {"ssl_ca": "/ca"}


@pytest.mark.parametrize("password", ["plain", "a b#c", "\"'\\;#", "\\n=[x]", "ünï", " both "])
def test_the_program_understands_any_password(mariadb_server: MariaDBServer, password: str) -> None:
    mariadb_server.execute(f"create or replace user odd@'%' identified by {literal(password)}")
    url = sa.engine.make_url(mariadb_server.url(user="odd")).set(password=password)
    tool = client_tools.find_required_tool("client", "app")
    words = ["--batch", "--skip-column-names", "--execute=select current_user()"]
    assert client_tools.run_tool(tool, words, url, "pymysql").strip() == "odd@%"


def test_an_option_file_of_the_url_is_read_before_ours(mariadb_server: MariaDBServer, tmp_path: Path) -> None:
    password = mariadb_server.create_user("by_file")
    file = tmp_path / "my.cnf"
    file.write_text(f'[client]\nuser=by_file\npassword="{password}"\n')
    file.chmod(0o600)
    url = sa.engine.make_url(f"mysql://{mariadb_server.host}:{mariadb_server.port}/").update_query_dict(
        {"read_default_file": str(file)}
    )
    tool = client_tools.find_required_tool("client", "app")
    words = ["--batch", "--skip-column-names", "--execute=select current_user()"]
    assert client_tools.run_tool(tool, words, url, "pymysql").strip() == "by_file@%"
    mariadb_server.execute("drop user by_file@'%'")


def test_no_secret_is_on_the_command_line_or_in_the_environment_of_a_program(
    mariadb_server: MariaDBServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_PWD", "of the shell")
    tool = client_tools.find_required_tool("client", "app")
    url = sa.engine.make_url(mariadb_server.url())
    words = ["--batch", "--skip-column-names", "--execute=select sleep(1)"]
    seen: list[str] = []

    def spy(_seconds: float) -> None:
        for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
            with suppress(ProcessLookupError, FileNotFoundError):  # one that has just ended
                seen.extend(Path("/proc", child, name).read_bytes().decode() for name in ("cmdline", "environ"))

    client_tools.run_tool(tool, words, url, "pymysql", report=spy)
    assert any("select sleep(1)" in text for text in seen)
    assert mariadb_server.password in build_option_file(url, "pymysql")
    assert [text for text in seen if mariadb_server.password in text or "MYSQL_PWD" in text] == []
