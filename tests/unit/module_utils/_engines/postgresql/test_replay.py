from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.client_tools import Tools
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.psql import SEARCH_PATH
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.replay import build_header


@pytest.mark.parametrize(("client", "server", "understood"), [("15.4", 15, True), ("16.1", 14, True),
                                                              ("17.0", 16, False), ("18.1", 17, True)])  # fmt: skip
def test_newer_programs_say_what_an_older_server_does_not_understand(
    client: str, server: int, understood: bool
) -> None:
    assert Tools(Path(), client).is_understood_by(server) is understood


def test_a_search_path_takes_the_place_of_the_empty_one_as_one_literal() -> None:
    lines = build_header('"it\'s", public')

    assert lines[SEARCH_PATH] == b"SELECT pg_catalog.set_config('search_path', '\"it''s\", public', false);\n"
    assert SEARCH_PATH not in build_header("")
