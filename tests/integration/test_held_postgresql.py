"""A held PostgreSQL database goes on when it is as before the run, or where it would have ended, rows included."""

from __future__ import annotations

import pytest

from tests.codes import assert_error
from tests.integration.test_revert_postgresql import Stage, executed, stage

__all__ = ["stage"]


@pytest.mark.exhaustive
def test_rows_that_a_failed_revision_has_changed_are_not_changed_once_more(stage: Stage) -> None:
    multiply = (
        f"with op.get_context().autocommit_block():\n        {executed('update item set price = price * 10')}\n    "
    )
    stage.host.revise("generic", "0002", "0001", f"{multiply}raise RuntimeError('no')")
    assert stage.host.result("upgrade", stage.entry, run="r1")["outcome"] == "failed"
    stage.run_as_owner("insert into item (id, name, price) values (77, 'theirs', 7)")
    assert stage.host.result("downgrade", stage.entry, run="r1")["outcome"] == "held"
    prices = stage.database.execute("select price from item order by id")
    stage.host.revise("generic", "0002", "0001", f"{multiply}pass")

    refused = stage.host.result("recover", stage.entry, run="c1", retry_failed=["app"])

    assert_error(refused["error"], "database-held", "item", "migrate_accept_rows")
    assert stage.host.result("upgrade", stage.entry, run="r2", retry_failed=["app"])["outcome"] == "refused"
    assert stage.database.execute("select price from item order by id") == prices
    stage.run_as_owner("update item set price = price / 10 where id <> 77; delete from item where id = 77")
    assert stage.host.result("recover", stage.entry, run="c2", retry_failed=["app"])["outcome"] == "cleared"
