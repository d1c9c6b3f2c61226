from __future__ import annotations

import io
import json
import os
import stat
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._release.digest import hash_shipped
from ansible_collections.hosting.alembic.plugins.module_utils._release.install import (
    Installation,
    Installer,
    collect_facts,
    prune,
)
from tests.codes import failed, refused
from tests.unit.stage import FIXTURES, Host, database, unpack


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A packed migrations directory."""
    path = tmp_path / "source.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(FIXTURES / "generic" / "alembic.ini", "alembic.ini")
        tar.add(FIXTURES / "generic" / "migrations" / "env.py", "migrations/env.py")
    return path


@pytest.fixture
def wanted(archive: Path, tmp_path: Path) -> Installation:
    unpack(archive, tmp_path / "content")
    return Installation("abc", hash_shipped(tmp_path / "content"), "", (), (), "", "python3", sys.prefix)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_release_is_installed_with_the_virtualenv_that_is_there(
    host: Host, archive: Path, wanted: Installation
) -> None:
    installer = Installer(host.layout, wanted)
    assert (installer.needs(), installer.is_installed(), installer.is_current()) == (["archive"], False, False)

    installer.install(str(archive), "")
    installer.make_current()

    assert (installer.needs(), installer.is_installed(), installer.is_current()) == ([], True, True)
    assert names(host.layout.releases) == ["abc", "current"]
    assert (host.layout.releases / "current").readlink() == Path("abc")
    assert (installer.place / "source" / "migrations" / "env.py").is_file()
    assert json.loads((installer.place / "release.json").read_text())["content"] == wanted.content
    assert stat.S_IMODE(installer.place.stat().st_mode) == 0o700
    assert collect_facts(installer)["virtualenv"] == os.path.realpath(sys.prefix)


def test_installing_again_changes_nothing(host: Host, archive: Path, wanted: Installation) -> None:
    installer = Installer(host.layout, wanted)
    installer.install(str(archive), "")
    before = (installer.place / "release.json").read_bytes()

    installer.install("", "")

    assert (installer.place / "release.json").read_bytes() == before


def test_other_content_than_was_sent_never_appears(host: Host, archive: Path, wanted: Installation) -> None:
    installer = Installer(host.layout, replace(wanted, content="0" * 64))

    with failed("release-damaged"):
        installer.install(str(archive), "")

    assert names(host.layout.releases) == []
    assert not installer.is_installed()


@pytest.mark.parametrize("left", [0, 20, 200, 400])
def test_an_archive_that_was_cut_short_never_appears(
    host: Host, archive: Path, wanted: Installation, left: int
) -> None:
    archive.write_bytes(archive.read_bytes()[:left])

    with failed("release-not-unpacked"):
        Installer(host.layout, wanted).install(str(archive), "")

    assert names(host.layout.releases) == []


@pytest.mark.parametrize("name", ["../outside", "/nowhere/hosting-alembic/outside", "a/../../outside"])
def test_nothing_lands_outside_of_the_release(host: Host, wanted: Installation, tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))

    with failed("release-damaged" if name.startswith("/") else "release-not-unpacked"):
        Installer(host.layout, wanted).install(str(path), "")

    assert names(host.layout.releases) == []
    assert not list(tmp_path.rglob("outside"))
    assert not Path("/nowhere").exists()


def test_what_an_earlier_try_left_half_done_is_cleared_away(host: Host, archive: Path, wanted: Installation) -> None:
    partial = host.layout.releases / ".abc.partial"
    (partial / "source").mkdir(parents=True)
    (partial / "source" / "stray.py").write_text("")

    Installer(host.layout, wanted).install(str(archive), "")

    assert names(host.layout.releases) == ["abc"]
    assert not (host.layout.release("abc") / "source" / "stray.py").exists()


def test_a_virtualenv_that_is_not_there_is_refused(host: Host, archive: Path, wanted: Installation) -> None:
    installer = Installer(host.layout, replace(wanted, virtualenv="/nowhere"))

    with refused("virtualenv-missing", "/nowhere", "migrate_virtualenv"):
        installer.install(str(archive), "")

    assert not installer.is_installed()


def test_a_python_that_is_not_there_is_refused(host: Host, archive: Path, wanted: Installation) -> None:
    installer = Installer(host.layout, replace(wanted, virtualenv="", python="python2.9"))

    with refused("python-missing", "'python2.9'", "migrate_python"):
        installer.install(str(archive), "")


def test_a_virtualenv_that_could_not_be_filled_is_none(host: Host, archive: Path, wanted: Installation) -> None:
    """There is no index, so the package cannot be found; the next try builds anew."""
    nothing = ("--no-index", "--no-cache-dir")
    installer = Installer(
        host.layout,
        replace(wanted, virtualenv="", python=sys.executable, packages=("nothing-like-it",), pip_arguments=nothing),
    )

    with failed("installation-failed", "migrate_wheelhouse"):
        installer.install(str(archive), "")

    assert names(host.layout.virtualenvs) == []
    assert not installer.is_installed()


def left_secrets(host: Host) -> list[Path]:
    """Leave what an installation leaves that is killed while pip runs."""
    host.layout.virtualenvs.mkdir(parents=True)
    left = [host.layout.virtualenvs / name for name in (".abc.netrc", ".abc.packages")]
    for path in left:
        path.write_text("machine index.example login u password secret")
    return left


def test_the_secrets_of_an_installation_that_was_killed_are_removed_by_the_next(
    host: Host, archive: Path, wanted: Installation
) -> None:
    left = left_secrets(host)

    Installer(host.layout, wanted).install(str(archive), "")

    assert not any(path.exists() for path in left)


def test_the_secrets_of_an_installation_that_was_killed_do_not_stop_pruning(host: Host) -> None:
    left = left_secrets(host)
    host.ship("generic", "r1")

    prune(host.layout, 1)

    assert not any(path.exists() for path in left)


# Pruning


def releases(host: Host) -> list[str]:
    return [name for name in names(host.layout.releases) if name != "current"]


def test_the_newest_releases_are_kept(host: Host) -> None:
    for name in ("r1", "r2", "r3", "r4"):
        host.ship("generic", name)

    assert sorted(prune(host.layout, 2)) == ["r1", "r2"]
    assert releases(host) == ["r3", "r4"]


def test_the_current_release_is_kept_however_old(host: Host) -> None:
    for name in ("r1", "r2", "r3"):
        host.ship("generic", name)
    current = host.layout.releases / "current"
    current.unlink()
    current.symlink_to("r1")

    prune(host.layout, 1)

    assert releases(host) == ["r1", "r3"]
    assert current.resolve().name == "r1"


def test_the_release_that_a_revert_needs_is_kept(host: Host, file: Path) -> None:
    host.ship("generic", "r1")
    host.result("upgrade", database(file, target="0001"), run="first")
    host.ship("generic", "r2")
    host.result("upgrade", database(file), run="second")
    for name in ("r3", "r4"):
        host.ship("generic", name)
        host.result("upgrade", database(file), run=f"nothing-to-do-{name}")

    prune(host.layout, 1)

    assert releases(host) == ["r2", "r4"]


def test_what_only_removed_releases_used_goes_with_them(host: Host) -> None:
    for name in ("r1", "r2"):
        host.ship("generic", name)
        virtualenv = host.layout.virtualenvs / f"v-{name}"
        virtualenv.mkdir(parents=True)
        (host.layout.release(name) / "virtualenv").unlink()
        (host.layout.release(name) / "virtualenv").symlink_to(f"../../virtualenvs/v-{name}")
        (host.layout.wheelhouses / f"w-{name}").mkdir(parents=True)
        record = {"shipped": name, "wheelhouse": f"w-{name}"}
        (host.layout.release(name) / "release.json").write_text(json.dumps(record))

    prune(host.layout, 1)

    assert names(host.layout.virtualenvs) == ["v-r2"]
    assert names(host.layout.wheelhouses) == ["w-r2"]


def test_a_virtualenv_that_is_not_ours_is_never_removed(host: Host) -> None:
    for name in ("r1", "r2"):
        host.ship("generic", name)

    prune(host.layout, 1)

    assert Path(sys.prefix, "bin", "python").exists()


def test_what_installs_the_source_has_a_virtualenv_of_its_own_release(host: Host) -> None:
    def name(release: str, *, from_source: bool) -> str:
        wanted = Installation(release, "c", "-e .", (), (), "", sys.executable, "", from_source=from_source)
        return Installer(host.layout, wanted)._name_virtualenv()

    assert name("one", from_source=False) == name("two", from_source=False)
    assert name("one", from_source=True) != name("two", from_source=True)
    assert name("one", from_source=True) == name("one", from_source=True)
