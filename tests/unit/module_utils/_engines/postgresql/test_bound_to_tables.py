"""What others have published by schema goes along with a schema that a restore in place renames."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.bound_to_tables import (
    list_bound_to_tables,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import Database as Postgres
from tests.lab.fixtures import skip_before


@pytest.mark.parametrize(("made", "named"), [("select 1", []), ("create type span as range (subtype = float8)", ["p"])])
def test_public_is_renamed_only_where_it_has_a_range_type(
    tmp_path: Path, postgres_database: Postgres, made: str, named: list[str]
) -> None:
    skip_before(postgres_database.server, 15, "publications of schemas")
    postgres_database.execute("create publication p for tables in schema public")
    postgres_database.execute(made)
    engine = build_engine(Database("app", postgres_database.url), Job("restore", str(tmp_path), run="r1"))

    found = list_bound_to_tables(engine.open_own_connection())
    engine.close()

    assert [words.rpartition(": ")[2] for words in found] == named
