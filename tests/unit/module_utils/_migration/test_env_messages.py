"""Facts that go to and from the process of env.py are the same at the other end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._migration.env_messages import (
    pack_written_rows,
    unpack_written_rows,
)


@pytest.mark.parametrize("kept_in", [None, Path("/srv/backups/app/run")])
def test_written_rows_survive_the_way_to_another_process(kept_in: Path | None) -> None:
    written_rows = WrittenRows(
        before=["table item"],
        wrote={"public.item": 2},
        replaced=frozenset({"public.item", "public.part"}),
        transactions=frozenset({7, 8}),
        spans=[[7, 9]],
        unchanged=frozenset({"public.part"}),
        kept_in=kept_in,
        unseen=["it started another program"],
    )

    assert unpack_written_rows(json.loads(json.dumps(pack_written_rows(written_rows)))) == written_rows
