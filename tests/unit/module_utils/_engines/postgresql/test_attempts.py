"""Where one method of a restore fails and the next one is refused, the first reason is not lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed, Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, RestoreMethod
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql import attempts
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.engine import PostgreSQL
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.restore_in_place import InPlace
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.restore_swap import Swap
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import Database as Postgres


@pytest.fixture
def engine(tmp_path: Path, postgres_database: Postgres) -> Iterator[PostgreSQL]:
    engine = build_engine(Database("app", postgres_database.url), Job("restore", str(tmp_path), run="r1"))
    assert isinstance(engine, PostgreSQL)
    yield engine
    engine.close()


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("restore-not-possible", "client-program-failed"),
        ("restore-not-permitted", "client-program-failed"),
        ("others-wrote", "others-wrote"),
    ],
)
def test_the_first_reason_is_reported(
    engine: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, raised: str
) -> None:
    def fill(_self: object, _guard: object) -> None:
        raise Failed("It was not filled", "no room", code="client-program-failed")

    def replay(_self: object, _guard: object) -> None:
        raise Refused("It cannot be done in place", "a mapping stays", code=code)

    monkeypatch.setattr(Swap, "restore", fill)
    monkeypatch.setattr(InPlace, "restore", replay)
    archive = Archive(tmp_path, [], None, frozenset(), {"search_path": "public"})

    with pytest.raises(Refused) as refused:
        attempts.restore_by(engine, RestoreMethod("swap"), archive, "r1", lambda _words: None, lambda: None)

    assert (refused.value.code, refused.value.why) == (raised, "no room; a mapping stays")
