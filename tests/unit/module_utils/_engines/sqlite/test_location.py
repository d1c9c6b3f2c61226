"""Links to a database file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite import probe
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.location import check_links
from tests.codes import assert_error, refused
from tests.unit.stage import Host, database, open_to_all, script, sql

CUSTOMER, OTHER = 65534, 65533

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def linked(file: Path, kind: str) -> Path:
    """Return the path of another customer's database by way of a link that a customer made."""
    secret = file.parent.parent / "other"
    secret.mkdir()
    script(secret / "app.db", "create table secret (a); create table alembic_version (version_num)")
    os.chown(secret / "app.db", OTHER, OTHER)
    if kind == "of the file":
        file.symlink_to(secret / "app.db")
        os.chown(file, CUSTOMER, CUSTOMER, follow_symlinks=False)
        return file
    if kind == "of the folder":
        (file.parent / "data").symlink_to(secret)
        os.chown(file.parent / "data", CUSTOMER, CUSTOMER, follow_symlinks=False)
        return file.parent / "data" / "app.db"
    file.symlink_to("second")
    (file.parent / "second").symlink_to(secret / "app.db")
    os.chown(file.parent / "second", CUSTOMER, CUSTOMER, follow_symlinks=False)
    return file


@pytest.mark.parametrize("kind", ["of the file", "of the folder", "behind another"])
def test_a_link_of_another_customer_is_refused(host: Host, file: Path, kind: str) -> None:
    path = linked(file, kind)
    host.ship("generic")

    result = host.result("upgrade", database(path))

    assert result["outcome"] == "refused"
    assert_error(result["error"], "sqlite-link-foreign")
    assert sql(path, "select name from sqlite_master") == [("secret",), ("alembic_version",)]
    with refused("sqlite-link-foreign"):
        probe.read_probe({"path": str(path)}, None, "main.alembic_version")


@pytest.mark.parametrize("owner", [0, OTHER])
def test_a_link_of_root_or_of_the_files_owner_is_followed(file: Path, owner: int) -> None:
    path = linked(file, "of the file")
    open_to_all(Path(os.path.realpath(path)).parent)
    os.chown(path, owner, owner, follow_symlinks=False)

    assert probe.read_probe({"path": str(path)}, None, "main.alembic_version").heads == []


def test_a_link_that_is_exchanged_after_it_was_followed_is_refused(tmp_path: Path) -> None:
    theirs, own, link = tmp_path / "theirs.db", tmp_path / "own.db", tmp_path / "app.db"
    script(theirs, "create table t (a)")
    script(own, "create table t (a)")
    link.symlink_to(theirs)
    engine = build_engine(database(link), Job("plan", str(tmp_path)))
    link.unlink()
    link.symlink_to(own)

    with refused("sqlite-file-exchanged"):
        engine.open_own_connection()


def test_more_links_than_are_followed_are_refused(tmp_path: Path) -> None:
    last = tmp_path / "file"
    last.touch()
    for number in range(60):
        link = tmp_path / f"link{number}"
        link.symlink_to(last)
        last = link

    with refused("sqlite-link-foreign"):
        check_links(str(last), "app")
