from __future__ import annotations

from ansible_collections.hosting.alembic.plugins.module_utils.shipped import current_release, virtualenv_python
from tests.unit.stage import Host


def test_the_current_release_is_the_one_shipped_last(host: Host) -> None:
    assert current_release(str(host.root)) == ""
    host.ship("generic", "one")
    host.ship("generic", "two")

    assert current_release(str(host.root)) == "two"


def test_a_release_is_there_only_when_it_is_whole(host: Host) -> None:
    root = str(host.root)
    assert virtualenv_python(root, "one") is None
    host.ship("generic", "one")
    assert virtualenv_python(root, "one") == host.root / "releases" / "one" / "virtualenv" / "bin" / "python"
    assert virtualenv_python(root, "") is None

    (host.layout.release("one") / "release.json").rename(host.layout.release("one") / "gone.json")
    assert virtualenv_python(root, "one") is None

    (host.layout.release("one") / "gone.json").rename(host.layout.release("one") / "release.json")
    (host.layout.release("one") / "virtualenv").unlink()
    assert virtualenv_python(root, "one") is None
