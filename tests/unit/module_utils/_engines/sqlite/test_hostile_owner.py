"""A file whose owner is at work against us, and whose folder root writes into."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import hash_file
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive, WrittenRows
from ansible_collections.hosting.alembic.plugins.module_utils._engines.interface import Engine
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import (
    find_rehearser,
    find_restorer,
    find_write_tracker,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import failed, refused
from tests.unit.stage import database, script, sql

UNPRIVILEGED = 65534
OTHER = 65533
SECRET = b"nobody may read this"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")

# Exchanges, without a pause, what has a name that a restore uses; each read of its folder finds another one.
PLANTER = """
import itertools, os, sys
folder, victims = sys.argv[1], sys.argv[2:]
names = [".app.db.restored", ".app.db.kept", "app.db.aside-r1", "app.db.aside-r1-2", "app.db-migrating"]
print("ready", flush=True)
for number in itertools.count():
    path = os.path.join(folder, names[number % len(names)])
    victim = victims[number % len(victims)]
    for plant in (lambda: os.symlink(victim, path), lambda: os.mkfifo(path), lambda: os.link(victim, path),
                  lambda: os.truncate(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR), 1 << 24)):
        try:
            os.unlink(path)
        except OSError:
            pass
        try:
            plant()
        except OSError:
            pass
    for fd in range(3, 64):
        try:
            os.close(fd)
        except OSError:
            pass
"""


class Place:
    """A customer's folder, and what others have beside it."""

    def __init__(self, root: Path) -> None:
        self.folder, self.ours = root / "customer", root / "ours"
        self.file = self.folder / "app.db"
        self.folder.mkdir(mode=0o700)
        self.ours.mkdir(mode=0o700)
        script(self.file, "create table t (a); insert into t values (1)")
        self.dump = self.ours / "dump"
        self.dump.mkdir()
        self.give()
        engine = self.engine()
        self.archive = self._archive(engine.dump(self.dump, False, lambda _: None).path, engine)
        engine.close()
        script(self.file, "insert into t values (2)")
        self.give()
        self.of_root, self.of_other = root / "of-root", root / "of-other"
        for path, uid in ((self.of_root, 0), (self.of_other, OTHER)):
            path.write_bytes(SECRET)
            path.chmod(0o600)
            os.chown(path, uid, uid)

    def _archive(self, path: Path, engine: Any) -> Archive:
        fingerprint = engine.open_own_connection().run(engine.read_fingerprint, frozenset())
        return Archive(path, fingerprint, None, frozenset(), sha256=hash_file(path))

    def give(self) -> None:
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, UNPRIVILEGED, UNPRIVILEGED, follow_symlinks=False)

    def engine(self) -> Engine:
        return build_engine(database(self.file), Job("upgrade", str(self.ours), run="r1", lock_timeout=1))

    def restore(self, guard: Callable[[], None] = lambda: None) -> None:
        engine = self.engine()
        try:
            find_restorer(engine).restore(self.archive, "r1", lambda _words: None, guard)
        finally:
            engine.close()

    def expect_nothing_of_others(self) -> None:
        """Nothing of others was read, changed or given away, and nothing of root's was left in the folder."""
        for path, uid in ((self.of_root, 0), (self.of_other, OTHER)):
            found = path.stat()
            assert (found.st_uid, found.st_mode & 0o777, path.read_bytes()) == (uid, 0o600, SECRET)
        for path in self.folder.iterdir():
            found = path.lstat()
            assert found.st_uid in (UNPRIVILEGED, OTHER), path
            if stat.S_ISREG(found.st_mode):
                assert SECRET not in path.read_bytes(), path


@pytest.fixture
def place() -> Iterator[Place]:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Place(Path(name))


def plant_journal(file: Path, names: Path) -> None:
    """Leave the journal of a transaction over several files, which SQLite plays back; then it removes their list."""
    content = file.read_bytes()
    size = struct.unpack(">H", content[16:18])[0]
    magic = bytes.fromhex("d9d505f920a163d7")
    header = magic + struct.pack(">IIIII", 0, 0, len(content) // size, 512, size)
    name = os.fsencode(names)
    record = struct.pack(">I", 0x40000000 // size + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    file.with_name(f"{file.name}-journal").write_bytes(header.ljust(512, b"\0") + record)


WORK: dict[str, Callable[[Place], object]] = {
    "restore": lambda place: place.restore(),
    "compare": lambda place: find_write_tracker(place.engine()).compare(
        place.archive, WrittenRows([]), 1 << 30, lambda _: None
    ),
    "foresee": lambda place: find_restorer(place.engine()).foresee_obstacles(place.archive),
    "foresee writes": lambda place: find_write_tracker(place.engine()).foresee_writes(place.archive, {}, None),
    "changed rows": lambda place: find_write_tracker(place.engine()).list_changed_by_run(place.archive, {}),
    "dump": lambda place: place.engine().dump(place.dump, True, lambda _: None),
}


@pytest.mark.parametrize("kind", WORK)
def test_a_journal_that_a_customer_made_removes_nothing_of_others(place: Place, kind: str) -> None:
    plant_journal(place.file, place.of_root)
    place.give()

    with suppress(Refused, sqlite3.Error):
        WORK[kind](place)

    place.expect_nothing_of_others()


def test_a_journal_that_is_made_in_the_middle_of_a_restore_removes_nothing_of_others(place: Place) -> None:
    os.link(place.file, place.folder / "other.db")  # so that it is written in place

    def plants() -> None:
        plant_journal(place.file, place.of_root)
        place.give()

    with suppress(Refused, sqlite3.Error):
        place.restore(plants)

    place.expect_nothing_of_others()


def test_a_folder_that_is_exchanged_while_it_is_restored_shows_nothing_of_others(place: Place) -> None:
    os.link(place.file, place.folder / "other.db")  # so that a copy is retained
    place.give()
    (place.ours / "app.db").write_bytes(SECRET * 1000)
    changed_place = place.folder.with_name("moved")

    def exchanges() -> None:
        place.folder.rename(changed_place)
        place.folder.symlink_to(place.ours)

    with pytest.raises(Refused):
        place.restore(exchanges)

    place.folder.unlink()
    changed_place.rename(place.folder)
    place.expect_nothing_of_others()
    assert (place.ours / "app.db").read_bytes() == SECRET * 1000
    assert sql(place.file, "select a from t order by a") == [(1,), (2,)]


@pytest.mark.parametrize("in_place", [False, True])
def test_a_file_of_root_in_the_place_of_the_database_is_not_what_a_restore_is_given(
    place: Place, in_place: bool
) -> None:
    """Its owner and mode would be those of a file that the customer wrote."""
    if in_place:
        os.link(place.file, place.folder / "other.db")
        place.give()
    engine = place.engine()
    engine.open_own_connection()  # the user is known from here on
    os.chown(place.file, 0, 0)
    place.file.chmod(0o4777)

    with suppress(Refused, sqlite3.Error):
        find_restorer(engine).restore(place.archive, "r1", lambda _words: None, lambda: None)
    engine.close()

    place.file.chmod(0o600)
    made = [path for path in place.folder.iterdir() if path.stat().st_ino != place.file.stat().st_ino]
    assert [path for path in made if path.stat().st_uid == 0 or path.stat().st_mode & 0o7000] == []


def test_a_file_of_root_that_a_link_leads_to_is_not_compared(place: Place) -> None:
    engine = place.engine()
    engine.open_own_connection()  # the user is known from here on
    place.file.unlink()
    place.file.symlink_to(script(place.ours / "secret.db", "create table secret (a)"))

    with failed("downgrade-not-compared") as refused:
        find_write_tracker(engine).compare_schema(place.archive, WrittenRows([]), lambda _: None)
    found = find_rehearser(engine).compare_copy(None, place.archive, frozenset(), in_full=True, report=lambda _: None)
    engine.close()

    assert "secret" not in f"{refused.value} {found}"
    assert found.not_compared


@contextmanager
def planter(place: Place) -> Iterator[None]:
    command = ["/usr/bin/python3", "-c", PLANTER, str(place.folder), str(place.of_root), str(place.of_other)]
    with subprocess.Popen(
        command, stdout=-1, text=True, user=UNPRIVILEGED, group=UNPRIVILEGED, extra_groups=[]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("in_place", [False, True])
def test_what_an_owner_plants_while_root_works_reads_and_changes_nothing_of_others(
    place: Place, in_place: bool
) -> None:
    if in_place:
        os.link(place.file, place.folder / "other.db")
        place.give()
    with planter(place):
        for _ in range(40):
            with suppress(Refused, OSError, sqlite3.Error):
                place.restore()
            with suppress(Refused, OSError, sqlite3.Error):
                engine: Any = place.engine()
                find_restorer(engine).list_retained()
                lock = engine.try_lock()
                if lock:
                    lock.release()
                find_restorer(engine).drop_unused_retained("r1")
                engine.close()

    place.expect_nothing_of_others()


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_a_pipe_beside_the_file_is_refused_and_not_waited_for(place: Place, suffix: str) -> None:
    os.mkfifo(f"{place.file}{suffix}")

    with refused("sqlite-file-not-regular", f"app.db{suffix}"):
        place.engine().open_own_connection()
