"""Whose rows were in a table that the run has dropped; the server's part is in tests/integration."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.other_changes import (
    _list_table_changes,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.relations import Relation

OLD = Relation("public.item", "100", "row", 10, "1")
HELD = ["others may have written to table public.item before the run dropped it"]


@pytest.mark.parametrize(
    ("counted", "wrote", "anew", "found"),
    [
        (10, 0, False, []),
        (12, 2, False, []),
        (13, 2, False, HELD),
        # Its rows were copied into another table, which has its name now: those are what the run wrote.
        (10, 10, True, []),
        (13, 10, True, HELD),
    ],
)
def test_a_table_that_the_run_dropped_had_others_rows(counted: int, wrote: int, anew: bool, found: list[str]) -> None:
    run = WrittenRows([], wrote={"public.item": wrote}, dropped=frozenset({"1"}), written={"1": counted})
    now = {"2": Relation("public.item", "200", "row", 10, "2")} if anew else {}

    assert list(_list_table_changes({"1": OLD.as_facts()}, now, run, frozenset())) == found
