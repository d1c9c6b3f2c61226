"""Restores of a file that others own, link to, mount, or have open."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import HALF_WAY, Failed
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import hash_file
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, Restored
from ansible_collections.hosting.alembic.plugins.module_utils._engines.interface import Engine
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite import held_folder, in_place
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite import restore as sqlite_restore
from ansible_collections.hosting.alembic.plugins.module_utils._engines.sqlite.held_folder import HeldFolder
from tests.codes import failed
from tests.unit.stage import database, names, open_to_all, script, sql

# Opens a file, writes a row for each line that it gets, and answers with how that went.
APPLICATION = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute(f"pragma journal_mode = {sys.argv[2]}")
c.execute("select * from t").fetchall()
print("open", flush=True)
for line in sys.stdin:
    try:
        c.execute(line)
        print("ok", flush=True)
    except sqlite3.Error as error:
        print(error, flush=True)
"""


class Application:
    """A process that has a file open."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def executes(self, statement: str) -> str:
        """Return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(statement + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@contextmanager
def application(path: Path, mode: str) -> Iterator[Application]:
    command = [sys.executable, "-c", APPLICATION, str(path), mode]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield Application(process)
        process.kill()


def engine_of(path: Path, **options: object) -> Engine:
    return build_engine(database(path), Job("upgrade", str(path.parent), run="r1", **options))  # type: ignore[arg-type]


@pytest.fixture
def dump(file: Path) -> Path:
    """The dump of a file that has changed since."""
    script(file, "pragma user_version = 5; create table t (a); insert into t values (1)")
    folder = file.parent.parent / "dump"
    folder.mkdir()
    engine = engine_of(file)
    made = engine.dump(folder, False, lambda _: None).path
    engine.close()
    script(file, "insert into t values (2); create table later (a); pragma user_version = 6")
    return made


def restore(file: Path, dump: Path, **options: object) -> Restored:
    archive = Archive(dump, [], None, frozenset(), sha256=hash_file(dump))
    return find_restorer(engine_of(file, **options)).restore(archive, "r1", lambda _words: None, lambda: None)


def is_restored(file: Path) -> None:
    assert sql(file, "select a from t where a < 3") == [(1,)]
    assert sql(file, "select count(*) from sqlite_master") == [(1,)]
    assert sql(file, "pragma user_version") == [(5,)]
    assert sql(file, "pragma integrity_check") == [("ok",)]


def is_kept(retained: str) -> None:
    assert sql(Path(retained), "select a from t order by a") == [(1,), (2,)]
    assert sql(Path(retained), "pragma user_version") == [(6,)]


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "memory", "off", "wal"])
def test_what_an_application_writes_after_a_restore_is_in_the_file(file: Path, dump: Path, mode: str) -> None:
    """In the modes MEMORY and OFF it would write into the replaced file, and be answered that it was written."""
    with application(file, mode) as open_file:
        restored = restore(file, dump)
        answer = open_file.executes("insert into t values (7)")

        is_restored(file)
        is_kept(restored.retained)
        assert answer == "ok"
        assert sql(file, "select a from t") == [(1,), (7,)]


def test_other_names_of_a_file_lead_to_what_was_restored(file: Path, dump: Path) -> None:
    other = file.with_name("other.db")
    os.link(file, other)

    restored = restore(file, dump)

    is_restored(file)
    is_restored(other)
    assert file.samefile(other)
    is_kept(restored.retained)


def test_a_damaged_dump_is_not_written_into_a_file_with_other_names(file: Path, dump: Path) -> None:
    os.link(file, file.with_name("other.db"))
    archive = Archive(dump, [], None, frozenset(), sha256=hash_file(dump))
    script(dump, "insert into t values (3)")  # a database all the same

    with failed("restore-replaced-nothing", "database.sqlite3"):
        find_restorer(engine_of(file)).restore(archive, "r1", lambda _words: None, lambda: None)

    is_kept(str(file))
    assert names(file.parent) == ["app.db", "other.db"]


def test_owner_mode_and_extended_attributes_survive(file: Path, dump: Path) -> None:
    open_to_all(file.parent)
    for path in (file.parent, file) if os.geteuid() == 0 else ():
        os.chown(path, 65534, 65534)
    file.chmod(0o664)
    os.setxattr(file, "user.kept", b"\0bytes")
    before = file.stat()

    restored = restore(file, dump)

    found = file.stat()
    assert restored.method == "file"
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (before.st_uid, before.st_gid, 0o664)
    assert os.getxattr(file, "user.kept") == b"\0bytes"
    is_restored(file)


def test_an_access_control_list_survives(file: Path, dump: Path) -> None:
    entries = [(0x01, 6, -1), (0x02, 6, 65534), (0x04, 4, -1), (0x10, 6, -1), (0x20, 4, -1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(file, "system.posix_acl_access", packed)

    restore(file, dump)

    assert os.getxattr(file, "system.posix_acl_access") == packed
    is_restored(file)


def test_a_file_that_is_a_mount_of_its_own_is_written_in_place(file: Path, dump: Path) -> None:
    """A rename would end in EBUSY or EXDEV."""
    mounted = file.with_name("mounted.db")
    mounted.touch()
    if os.geteuid() or subprocess.run(["mount", "--bind", file, mounted], check=False, capture_output=True).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        restored = restore(mounted, dump)

        assert restored.method == "in_place"
        is_restored(mounted)
        is_restored(file)
        is_kept(restored.retained)
    finally:
        subprocess.run(["umount", "--lazy", mounted], check=True)


@pytest.mark.parametrize("hardlink", [False, True])
def test_a_link_that_a_customer_planted_is_not_followed(file: Path, dump: Path, hardlink: bool) -> None:
    secret = file.parent.parent / "of-root"
    secret.write_text("root's own")
    planted = file.with_name(".app.db.restored")
    os.link(secret, planted) if hardlink else planted.symlink_to(secret)

    restore(file, dump)

    is_restored(file)
    assert secret.read_text() == "root's own"
    assert not file.is_symlink()
    assert file.stat().st_uid == os.geteuid()


def test_a_lock_that_is_a_link_shows_nothing(file: Path) -> None:
    secret = file.parent / "of-root"
    secret.write_text("root's own")
    file.with_name("app.db-migrating").symlink_to(secret)

    assert engine_of(file).read_lock_holder() == "another run"


def test_what_has_its_sha256_is_not_proven_once_more(file: Path, dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was proven when it was made, and SQLite would read all of it."""
    read: list[Path] = []
    monkeypatch.setattr(sqlite_restore, "prove_file", lambda path, **_options: read.append(path))

    restore(file, dump)
    is_restored(file)
    assert read == []

    archive = Archive(dump, [], None, frozenset())
    find_restorer(engine_of(file)).restore(archive, "r2", lambda _words: None, lambda: None)
    assert read == [dump]


def test_a_file_that_was_deleted_comes_back(file: Path, dump: Path) -> None:
    file.unlink()

    assert restore(file, dump).retained == ""

    is_restored(file)
    assert names(file.parent) == ["app.db"]


def test_a_file_that_is_damaged_comes_back_and_is_kept(file: Path, dump: Path) -> None:
    file.write_bytes(b"These are no pages of a database" * 500)

    restored = restore(file, dump)

    is_restored(file)
    assert Path(restored.retained).read_bytes().startswith(b"These are no pages")


def test_a_session_that_writes_while_it_is_written_in_place_is_not_overwritten(file: Path, dump: Path) -> None:
    """Between the lock under which it is decided and the one under which it is written."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other, failed("restore-replaced-nothing"):
        in_place.overwrite(file, dump, 1, False, lambda: other.execute("insert into t values (3)"))

    assert sql(file, "select a from t order by a") == [(1,), (2,), (3,)]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_open_writer_keeps_a_file_from_being_written_in_place(file: Path, dump: Path, mode: str) -> None:
    os.link(file, file.with_name("other.db"))
    with application(file, mode) as writer:
        assert writer.executes("begin immediate") == "ok"
        with failed("restore-replaced-nothing", "locked"):
            restore(file, dump, lock_timeout=0.1)
        assert writer.executes("commit") == "ok"

    assert sql(file, "select a from t order by a") == [(1,), (2,)]
    assert [name for name in names(file.parent) if "aside" in name] == []


@pytest.mark.parametrize("mode", ["memory", "off"])
def test_what_an_application_writes_that_opened_the_file_while_the_backup_was_copied_is_in_it(
    file: Path, dump: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    with ExitStack() as stack:
        opened = []

        def copied(source: Path, target: int) -> str:
            opened.append(stack.enter_context(application(file, mode)))
            return held_folder.copy_durably(source, target)

        monkeypatch.setattr(sqlite_restore, "copy_durably", copied)
        restored = restore(file, dump)

        assert opened[0].executes("insert into t values (7)") == "ok"
        assert sql(file, "select a from t") == [(1,), (7,)]
        is_kept(restored.retained)


def empty_dump(folder: Path, size: int) -> Path:
    """Return a backup of one page, with settings that are in that page."""
    return script(folder / "empty.db", f"pragma page_size = {size}; pragma user_version = 5; vacuum")


@pytest.mark.parametrize("size", [4096, 8192])
def test_a_backup_of_one_page_is_written_in_place(tmp_path: Path, file: Path, size: int) -> None:
    script(file, f"pragma page_size = {size}; create table t (a); insert into t values (1)")
    other = file.with_name("other.db")
    os.link(file, other)

    restored = restore(file, empty_dump(tmp_path, size))

    assert file.samefile(other)
    assert (sql(file, "select * from sqlite_master"), sql(file, "pragma user_version")) == ([], [(5,)])
    assert sql(Path(restored.retained), "select a from t") == [(1,)]


def test_a_session_that_writes_while_a_backup_of_one_page_is_written_is_not_overwritten(
    tmp_path: Path, file: Path
) -> None:
    script(file, "create table t (a)")
    dump = empty_dump(tmp_path, 4096)
    with closing(sqlite3.connect(file, isolation_level=None)) as other, failed("restore-replaced-nothing"):
        in_place.overwrite(file, dump, 1, False, lambda: other.execute("insert into t values (3)"))

    assert sql(file, "select a from t") == [(3,)]


def test_what_is_kept_is_whole_where_the_kernel_writes_a_part_at_a_time(
    file: Path, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.link(file, file.with_name("other.db"))
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:1000])))

    is_kept(restore(file, dump).retained)


def test_a_damaged_file_is_there_at_each_moment_of_a_restore(
    file: Path, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(b"These are no pages of a database" * 500)

    def breaks(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(HeldFolder, "replace", breaks)
    with pytest.raises(Failed) as caught:
        restore(file, dump)

    assert caught.value.code == HALF_WAY
    assert file.read_bytes().startswith(b"These are no pages")


def access_list(*named: tuple[int, int, int], mask: int) -> bytes:
    entries = [(0x01, 6, -1), *named, (0x04, 4, -1), (0x10, mask, -1), (0x20, 0, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)


@pytest.mark.parametrize("in_place", [False, True])
def test_what_a_folder_gives_by_default_opens_no_file_that_a_restore_makes(
    file: Path, dump: Path, in_place: bool
) -> None:
    file.chmod(0o640)
    if in_place:
        os.link(file, file.with_name("other.db"))
    os.setxattr(file.parent, "system.posix_acl_default", access_list((0x02, 6, 65534), mask=6))

    retained = Path(restore(file, dump).retained)

    for path in (file, retained):
        assert "system.posix_acl_access" not in os.listxattr(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    is_restored(file)
    is_kept(str(retained))


@pytest.mark.parametrize("in_place", [False, True])
def test_a_list_of_the_file_itself_survives_a_default_one(file: Path, dump: Path, in_place: bool) -> None:
    own = access_list((0x02, 4, 65533), mask=4)
    os.setxattr(file, "system.posix_acl_access", own)
    if in_place:
        os.link(file, file.with_name("other.db"))
    os.setxattr(file.parent, "system.posix_acl_default", access_list((0x02, 6, 65534), mask=6))

    retained = Path(restore(file, dump).retained)

    assert os.getxattr(file, "system.posix_acl_access") == own
    assert os.getxattr(retained, "system.posix_acl_access") == own


def test_a_file_that_was_deleted_is_read_by_its_former_readers(file: Path) -> None:
    script(file, "create table t (a); insert into t values (1); pragma user_version = 5")
    own = access_list((0x02, 4, 65533), mask=4)
    os.setxattr(file, "system.posix_acl_access", own)
    folder = file.parent.parent / "dump"
    folder.mkdir()
    engine = engine_of(file)
    made = engine.dump(folder, False, lambda _: None)
    engine.close()
    activity = json.loads(json.dumps(made.activity))
    os.setxattr(file.parent, "system.posix_acl_default", access_list((0x02, 6, 65534), mask=6))
    file.unlink()

    archive = Archive(made.path, [], None, frozenset(), activity, sha256=hash_file(made.path))
    find_restorer(engine_of(file)).restore(archive, "r1", lambda _words: None, lambda: None)

    assert os.getxattr(file, "system.posix_acl_access") == own
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    is_restored(file)


def test_a_file_that_was_deleted_is_not_an_other_users_by_default(file: Path, dump: Path) -> None:
    os.setxattr(file.parent, "system.posix_acl_default", access_list((0x02, 6, 65534), mask=6))
    file.unlink()

    restore(file, dump)

    assert "system.posix_acl_access" not in os.listxattr(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
