"""The table of the engines: each part is where it says, and has the interface of its kind."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.urls import find_backend
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Drivers
from ansible_collections.hosting.alembic.plugins.module_utils._engines.interface import Engine
from ansible_collections.hosting.alembic.plugins.module_utils._engines.places import ENGINES, load_part
from ansible_collections.hosting.alembic.plugins.module_utils._engines.rehearser import Rehearser
from ansible_collections.hosting.alembic.plugins.module_utils._engines.restorer import Restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.write_tracker import WriteTracker
from tests.layers import ENGINES as FOLDERS


@pytest.mark.parametrize("name", ENGINES)
def test_each_part_is_where_the_table_says(name: str) -> None:
    assert find_backend(f"{name}://") == load_part(name, "engine").name == name
    for part, interface in (
        ("engine", Engine),
        ("restorer", Restorer),
        ("write_tracker", WriteTracker),
        ("rehearser", Rehearser),
    ):
        kind = load_part(name, part)
        assert issubclass(kind, interface)
        assert not getattr(kind, "__abstractmethods__", None)
    assert isinstance(load_part(name, "drivers"), Drivers)
    assert all(callable(load_part(name, part)) for part in ("probe", "select_rows"))
    assert isinstance(load_part(name, "schemas"), (str, type(None)))


def test_each_folder_of_an_engine_is_in_the_table() -> None:
    assert sorted(ENGINES) == sorted(FOLDERS)
