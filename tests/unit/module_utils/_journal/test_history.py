from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.choose import list_backed_up
from ansible_collections.hosting.alembic.plugins.module_utils._journal.history import find_last_change, list_upgraded
from tests.codes import refused
from tests.unit.stage import Host, database, script


@pytest.fixture
def root(host: Host, file: Path) -> str:
    """A host on which two databases were upgraded, one of them twice, and then nothing more was to do."""
    host.ship("generic")
    other = file.with_name("other.db")
    host.do("upgrade", database(file, target="0001"), database(other, "Other!"), run="first")
    host.result("upgrade", database(file), run="second")
    host.do("upgrade", database(file), database(other, "Other!"), run="third")
    return str(host.root)


def test_the_last_change_is_the_last_run_that_moved_a_database(root: str) -> None:
    assert find_last_change(root) == "second"


def test_each_run_knows_what_it_upgraded(root: str) -> None:
    assert list_upgraded(root, "first", ["Other!", "app"]) == ["Other!", "app"]
    assert list_upgraded(root, "second", ["Other!", "app"]) == ["app"]
    assert list_upgraded(root, "third", ["Other!", "app"]) == []
    assert list_upgraded(root, "first", ["Other!", "app"], ["app"]) == ["app"]
    with refused("database-not-listed", "'typo'"):
        list_upgraded(root, "first", ["Other!", "app"], ["typo"])


def test_a_run_that_went_back_has_upgraded_nothing(host: Host, file: Path, root: str) -> None:
    host.result("rollback", database(file), run="back", of_run="second")

    assert list_upgraded(root, "back", ["app"]) == []
    assert find_last_change(root) == "second"


def test_where_nothing_was_done_there_is_nothing_to_roll_back(host: Host) -> None:
    with refused("run-unknown"):
        find_last_change(str(host.root))


def test_one_database_is_not_restored_twice(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table mine (a)")
    host.result("backup", database(file), run="first")
    host.result("backup", database(file, "blog"), run="second")
    entries = [{"name": "app"}, {"name": "blog"}]

    with refused("database-listed-twice", "'app'", "'blog'", '["app"]'):
        list_backed_up(str(host.root), entries, "", "", [])
    assert list_backed_up(str(host.root), entries, "", "", ["blog"]) == ["blog"]
    assert list_backed_up(str(host.root), entries, "first", "", []) == ["app"]
