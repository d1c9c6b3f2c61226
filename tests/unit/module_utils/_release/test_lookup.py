from __future__ import annotations

from pathlib import Path

from ansible_collections.hosting.alembic.plugins.module_utils._release.lookup import (
    find_virtualenv_python,
    note_current,
    read_current_release,
    release_of_all,
    release_of_database,
)
from tests.unit.stage import Host, database


def test_the_current_release_is_the_one_shipped_last(host: Host) -> None:
    assert read_current_release(str(host.root)) == ""
    host.ship("generic", "one")
    host.ship("generic", "two")

    assert read_current_release(str(host.root)) == "two"


def test_a_release_is_there_only_when_it_is_whole(host: Host) -> None:
    root = str(host.root)
    assert find_virtualenv_python(root, "one") is None
    host.ship("generic", "one")
    assert find_virtualenv_python(root, "one") == host.root / "releases" / "one" / "virtualenv" / "bin" / "python"
    assert find_virtualenv_python(root, "") is None

    (host.layout.release("one") / "release.json").rename(host.layout.release("one") / "gone.json")
    assert find_virtualenv_python(root, "one") is None

    (host.layout.release("one") / "gone.json").rename(host.layout.release("one") / "release.json")
    (host.layout.release("one") / "virtualenv").unlink()
    assert find_virtualenv_python(root, "one") is None


def test_two_applications_below_one_root_have_a_release_each(host: Host) -> None:
    root = str(host.root)
    host.ship("generic", "one")
    note_current(root, "one", ["shop"])
    host.ship("multi_heads", "two")
    note_current(root, "two", ["blog", "Blög 2"])

    assert [release_of_database(root, name) for name in ("shop", "blog", "Blög 2", "new")] == [
        "one",
        "two",
        "two",
        "",
    ], "nobody knows whose the new one is"
    assert release_of_all(root, ["shop"]) == "one"
    assert release_of_all(root, ["shop", "blog"]) == "two", "no release is that of both, so the current one is taken"


def test_a_run_says_which_release_is_the_databases(host: Host, file: Path) -> None:
    host.ship("generic", "one")
    host.result("upgrade", database(file), release="one")
    host.ship("multi_heads", "two")

    assert release_of_database(str(host.root), "app") == "one"

    host.ship("generic", "three")
    note_current(str(host.root), "three", ["app"])
    assert release_of_database(str(host.root), "app") == "three", "it was shipped later"
