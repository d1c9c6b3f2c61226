"""Secret options of libpq reach its programs by no command line and by no file that has a name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql import client_tools
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.content import stream_output

#: No program listens on port 1.
URL = sa.engine.make_url("postgresql://shop:pw@127.0.0.1:1/shop?sslpassword=m4rk%20ed'word&sslmode=prefer")
SHOW = 'cat "$PGSERVICEFILE"; tr "\\0" "\\n" < /proc/$$/environ; tr "\\0" "\\n" < /proc/$$/cmdline'


def test_a_program_reads_them_from_a_file_without_a_name(tmp_path: Path) -> None:
    command = ["sh", "-c", SHOW, "sh", client_tools.build_conninfo(URL)]
    output = client_tools.run_tool(command, client_tools.build_environment(URL, "us"), tmp_path, lambda _words: None)

    with stream_output(command, client_tools.build_environment(URL, "us")) as stream:
        assert "sslpassword=m4rk ed'word" in stream.read().decode()
    file, _mark, rest = output.partition("sslpassword=m4rk ed'word\n")
    assert file == "[hosting_alembic]\n"
    assert "m4rk" not in rest
    assert "service='hosting_alembic'" in rest
    assert "PGSERVICEFILE=/dev/fd/" in rest
    assert "HOSTING_ALEMBIC_SERVICE_TEXT" not in rest
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not shutil.which("psql"), reason="libpq's own programs are not there")
def test_libpq_takes_the_file(tmp_path: Path) -> None:
    psql = ["psql", "--no-password", f"--dbname={client_tools.build_conninfo(URL)}"]
    variables = client_tools.build_environment(URL, "us")

    with pytest.raises(Failed, match="Connection refused"):
        client_tools.run_tool(psql, variables, tmp_path, lambda _words: None)
    without = {name: value for name, value in variables.items() if name != "HOSTING_ALEMBIC_SERVICE_TEXT"}
    with pytest.raises(Failed, match='definition of service "hosting_alembic" not found'):
        client_tools.run_tool(psql, {**without, "PGSERVICEFILE": "/dev/null"}, tmp_path, lambda _words: None)


def test_a_url_without_such_an_option_has_no_file() -> None:
    plain = sa.engine.make_url("postgresql://shop:pw@127.0.0.1:1/shop")
    assert "service" not in client_tools.build_conninfo(plain)
    assert not {"PGSERVICEFILE", "HOSTING_ALEMBIC_SERVICE_TEXT"} & set(client_tools.build_environment(plain, "us"))
