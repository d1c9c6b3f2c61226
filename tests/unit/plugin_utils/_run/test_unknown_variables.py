from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._run.unknown_variables import list_misspelt


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("migrate_databses", "migrate_databases"),
        ("migrate_on_falure", "migrate_on_failure"),
        ("migrate_window", "migrate_windows"),
        ("migrate_host", "migrate_hosts"),
    ],
)
def test_what_resembles_a_variable_of_the_role_is_reported(name: str, meant: str) -> None:
    (printed,) = list_misspelt({name: 1, "inventory_hostname": "web1"})
    assert name in printed
    assert f"Did you mean {meant}?" in printed


def test_what_is_known_or_somebodys_own_is_not() -> None:
    assert not list(
        list_misspelt(["migrate_databases", "migrate_hosts", "migrate_chat_url", "databses", "__migrate_databses"])
    )
