"""env.py as another user than root: what it can do then, and what stays root's."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.run_as import act_as, admit, read_user
from tests.codes import assert_error
from tests.unit.modules.test_modules import call
from tests.unit.stage import Host, heads, script, sql, tables

UNPRIVILEGED = 65534
OTHER = 65533

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")

#: Says who runs it, and what it can read.
SPY = r"""
import json, os
_seen = {"uids": list(os.getresuid()), "gids": list(os.getresgid()), "groups": os.getgroups()}
_lines = open("/proc/self/status").read().splitlines()
_seen["capabilities"] = [_line.split()[1] for _line in _lines if _line.startswith(("CapEff", "CapPrm"))]
_seen["read"], _seen["back"] = [], []
for _path in @PATHS@:
    try:
        open(_path, "rb").read(1)
        _seen["read"].append(_path)
    except OSError:
        pass
for _call in (lambda: os.setuid(0), lambda: os.seteuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        _call()
        _seen["back"].append(True)
    except OSError:
        pass
_seen["descriptors"] = sorted({os.readlink(f"/proc/self/fd/{_n}").split(":")[0] for _n in os.listdir("/proc/self/fd")
                               if os.path.exists(f"/proc/self/fd/{_n}")} )
with open(os.path.join(@NOTES@, f"{os.getpid()}.json"), "w") as _note:
    json.dump(_seen, _note)
"""


@contextmanager
def open_to_all() -> Iterator[Path]:
    """Make a folder that every user can come to, as those of a host are; pytest closes its own to others."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def open_tmp() -> Iterator[Path]:
    with open_to_all() as folder:
        yield folder


@pytest.fixture
def host(open_tmp: Path) -> Host:
    return Host(open_tmp / "root")


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    """A virtualenv whose Python every user can read, with what the tests have installed."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    with open_to_all() as folder:
        subprocess.run([f"/usr/bin/{version}", "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
        (library,) = folder.glob("venv/lib/python*/site-packages")
        (packages,) = Path(sys.prefix).resolve().glob("lib/python*/site-packages")
        (library / "tests.pth").write_text(f"{packages}\n")
        yield folder / "venv"


class Customer:
    """A user with a folder and a database of its own."""

    def __init__(self, folder: Path, uid: int) -> None:
        self.folder, self.uid = folder, uid
        self.file = folder / "app.db"
        folder.mkdir(mode=0o700)
        script(self.file, "create table kept (id integer); insert into kept values (1)")
        os.chown(folder, uid, uid)
        os.chown(self.file, uid, uid)
        self.file.chmod(0o600)


@pytest.fixture
def customer(open_tmp: Path) -> Customer:
    return Customer(open_tmp / "customer", UNPRIVILEGED)


class Stage:
    """A release whose env.py says what it is."""

    def __init__(self, host: Host, python: Path, notes: Path, paths: list[Path], fixture: str = "generic") -> None:
        self.host, self.notes = host, notes
        self.release = host.ship(fixture)
        link = host.layout.release(self.release) / "virtualenv"
        link.unlink()
        link.symlink_to(python)
        notes.mkdir()
        notes.chmod(0o1777)
        spy = SPY.replace("@PATHS@", repr([str(path) for path in paths])).replace("@NOTES@", repr(str(notes)))
        self.env = host.layout.release(self.release) / "source" / "migrations" / "env.py"
        self.env.write_text(spy + self.env.read_text())

    def call(self, verb: str, file: Path, run: str = "r1", entry: dict[str, Any] | None = None, **options: Any) -> Any:
        databases = [{"name": "app", "url": f"sqlite:///{file}", **(entry or {})}]
        if verb not in ("plan_info", "status_info"):
            options = {"run": run, "follow": 60, **options}
        return call(verb, root=str(self.host.root), databases=databases, **options)

    def seen(self) -> list[dict[str, Any]]:
        found = [json.loads(path.read_text()) for path in self.notes.glob("*.json")]
        assert found
        return found


@pytest.fixture
def stage(host: Host, open_tmp: Path, python: Path) -> Stage:
    secret = open_tmp / "root.txt"
    secret.write_text("root's")
    secret.chmod(0o600)
    other = Customer(open_tmp / "other", OTHER)
    return Stage(host, python, open_tmp / "notes", [secret, other.file, Path("/etc/shadow")])


def expect_unprivileged(stage: Stage) -> None:
    for seen in stage.seen():
        assert seen["uids"] == [UNPRIVILEGED] * 3
        assert seen["gids"] == [UNPRIVILEGED] * 3
        assert 0 not in seen["groups"]
        assert set(seen["capabilities"]) == {"0" * 16}
        assert seen["read"] == []
        assert seen["back"] == []


def test_a_plan_runs_env_py_as_the_owner_of_the_file(stage: Stage, customer: Customer) -> None:
    answer = stage.call("plan_info", customer.file)

    assert [plan["obstacles"] for plan in answer["databases"]] == [[]], answer
    assert len(answer["databases"][0]["pending"]) > 0
    expect_unprivileged(stage)
    assert heads_or_none(customer.file) == []


def heads_or_none(file: Path) -> list[str]:
    return heads(file) if "alembic_version" in tables(file) else []


def test_upgrade_and_rollback_run_as_the_owner_and_what_is_kept_stays_roots(stage: Stage, customer: Customer) -> None:
    upgraded = stage.call("upgrade", customer.file)
    assert not upgraded.get("failed"), upgraded
    assert heads(customer.file) != []

    back = stage.call("rollback", customer.file, "r2")
    assert not back.get("failed"), back["msg"]
    assert heads(customer.file) == []
    assert sql(customer.file, "select id from kept") == [(1,)]

    expect_unprivileged(stage)
    assert {path.stat().st_uid for path in customer.folder.iterdir()} == {UNPRIVILEGED}
    for kind in ("backups", "journals", "workers"):
        found = [stage.host.root / kind, *(stage.host.root / kind).rglob("*")]
        assert {path.stat().st_uid for path in found} == {0}
        assert all(path.stat().st_mode & 0o077 == 0 for path in found)


def test_a_failed_upgrade_is_reverted_by_the_owner_too(stage: Stage, customer: Customer) -> None:
    stage.host.revise(
        stage.release, "9999", newest(stage), 'op.execute("create table more (id)"); raise RuntimeError("no")'
    )
    before = sql(customer.file, "select type, name, sql from sqlite_master order by 1, 2")

    failed = stage.call("upgrade", customer.file)
    assert failed["failed"], failed
    assert "RuntimeError: no" in failed["msg"]
    back = stage.call("downgrade", customer.file)

    assert not back.get("failed"), back["msg"]
    found = sql(
        customer.file, "select type, name, sql from sqlite_master where tbl_name <> 'alembic_version' order by 1, 2"
    )
    assert found == before
    assert sql(customer.file, "select id from kept") == [(1,)]
    expect_unprivileged(stage)
    assert {path.stat().st_uid for path in customer.folder.iterdir()} == {UNPRIVILEGED}


def newest(stage: Stage) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "alembic", "heads"], cwd=stage.env.parents[1], capture_output=True, text=True, check=True
    )
    return answer.stdout.split()[0]


def test_a_rehearsal_runs_as_the_owner_on_a_copy_that_is_gone_afterwards(stage: Stage, customer: Customer) -> None:
    before = customer.file.read_bytes()

    answer = stage.call("rehearse", customer.file)

    assert not answer.get("failed"), answer["msg"]
    assert [found["outcome"] for found in answer["databases"]] == ["rehearsed"]
    assert {each["verdict"] for each in answer["databases"][0]["revisions"]} == {"reversible"}
    expect_unprivileged(stage)
    assert customer.file.read_bytes() == before
    assert not list((stage.host.root / "scratches").rglob("*.db"))


def test_a_user_that_is_named_goes_before_the_owner(stage: Stage, customer: Customer) -> None:
    os.chown(customer.folder, 0, 0)
    customer.folder.chmod(0o777)
    os.chown(customer.file, 0, 0)
    customer.file.chmod(0o666)

    answer = stage.call("upgrade", customer.file, run_as="nobody")

    assert not answer.get("failed"), answer["msg"]
    expect_unprivileged(stage)


def test_root_stays_root_where_that_is_named(stage: Stage, customer: Customer) -> None:
    answer = stage.call("plan_info", customer.file, entry={"run_as": "root"}, run_as="nobody")

    assert answer["databases"][0]["obstacles"] == []
    assert {tuple(seen["uids"]) for seen in stage.seen()} == {(0, 0, 0)}


def test_a_user_that_is_not_there_is_refused_with_the_variable(stage: Stage, customer: Customer) -> None:
    answer = stage.call("plan_info", customer.file, run_as="no-such-user")

    (obstacle,) = answer["databases"][0]["obstacles"]
    assert_error(obstacle, "run-as-unknown-user", "'no-such-user'", "migrate_run_as")
    assert not list(stage.notes.iterdir())


def test_a_virtualenv_that_the_user_cannot_read_is_refused_when_planned(
    stage: Stage, customer: Customer, python: Path
) -> None:
    python.chmod(0o700)
    try:
        answer = stage.call("plan_info", customer.file)
    finally:
        python.chmod(0o755)

    (obstacle,) = answer["databases"][0]["obstacles"]
    assert_error(obstacle, "run-as-cannot-read", "virtualenv: Permission denied", "migrate_run_as")
    assert not list(stage.notes.iterdir())


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_name_that_leads_to_another_customers_file_reads_and_changes_nothing(
    stage: Stage, customer: Customer, open_tmp: Path, kind: str
) -> None:
    other = open_tmp / "other" / "app.db"
    before = other.read_bytes()
    customer.file.unlink()
    if kind == "hard":
        os.link(other, customer.file)
    else:
        customer.file.symlink_to(other)
        os.chown(customer.file, UNPRIVILEGED, UNPRIVILEGED, follow_symlinks=False)

    plan = stage.call("plan_info", customer.file)
    (obstacle,) = plan["databases"][0]["obstacles"]
    assert obstacle["code"] == ("sqlite-link-foreign" if kind == "symbolic" else "sqlite-file-linked")
    upgraded = stage.call("upgrade", customer.file)

    assert upgraded["failed"]
    assert other.read_bytes() == before
    assert not list(stage.notes.iterdir())
    assert not list((stage.host.root / "backups").rglob("*.sqlite3"))


def test_a_new_database_belongs_to_the_owner_of_its_folder(stage: Stage, customer: Customer) -> None:
    customer.file.unlink()

    answer = stage.call("upgrade", customer.file)

    assert not answer.get("failed"), answer["msg"]
    assert customer.file.stat().st_uid == UNPRIVILEGED
    assert heads(customer.file) != []
    expect_unprivileged(stage)


def test_a_process_of_env_py_that_ends_itself_fails_its_own_database_only(stage: Stage, customer: Customer) -> None:
    stage.host.revise(stage.release, "9999", newest(stage), "import os; os._exit(0)")

    failed = stage.call("upgrade", customer.file)

    assert failed["failed"]
    assert "[env-py-ended]" in failed["msg"]
    back = stage.call("downgrade", customer.file)
    assert not back.get("failed"), back["msg"]
    assert heads_or_none(customer.file) == []


def test_nothing_that_other_processes_use_is_open_in_env_pys(stage: Stage, customer: Customer) -> None:
    stage.call("upgrade", customer.file)

    for seen in stage.seen():
        kinds = {place for place in seen["descriptors"] if place.startswith(("/memfd", str(stage.host.root)))}
        assert all(place.endswith((".output", ".py")) for place in kinds), seen["descriptors"]


def test_who_is_let_in_admits_no_user_that_a_default_list_named(open_tmp: Path) -> None:
    entries = [(0x01, 7, -1), (0x02, 7, OTHER), (0x04, 7, -1), (0x10, 7, -1), (0x20, 0, -1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(open_tmp, "system.posix_acl_default", packed)
    folder = open_tmp / "root" / "release"
    folder.parent.mkdir(mode=0o700)
    folder.mkdir(mode=0o700)

    admit(read_user(UNPRIVILEGED), folder.parent, folder)

    with act_as(read_user(UNPRIVILEGED)):
        assert list(folder.iterdir()) == []
    with act_as(read_user(OTHER)), pytest.raises(PermissionError):
        list(folder.iterdir())
