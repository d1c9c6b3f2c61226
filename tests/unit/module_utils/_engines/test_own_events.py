"""Our own connections, in the process of an application that listens to all."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.pool import Pool

from ansible_collections.hosting.alembic.plugins.module_utils._engines.own_events import remove_common_listeners


@pytest.mark.parametrize("name", ["first_connect", "connect", "checkout", "checkin", "reset", "close"])
def test_what_listens_to_all_pools_is_not_called_for_ours(name: str) -> None:
    called = []

    def listener(*_: Any) -> None:
        called.append(name)

    event.listen(Pool, name, listener)
    try:
        engine = remove_common_listeners(create_engine("sqlite://"))
        with engine.connect() as connection:
            connection.exec_driver_sql("select 1")
        engine.dispose()
    finally:
        event.remove(Pool, name, listener)

    assert called == []
