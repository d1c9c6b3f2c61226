"""Disks that are full or cannot be written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.fault import MARIADB, POSTGRESQL, SQLITE, fault
from tests.faults.scene import FILL_PART, PART, Scene
from tests.integration.targets import MariaDBTarget, PostgresTarget, SQLiteTarget
from tests.lab import ansible, wheels
from tests.lab.mariadb import USER as MARIADB_USER
from tests.lab.postgres import USER
from tests.lab.shell import CommandFailed, run


@contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[Path]:
    """A file system of its own below a folder, with what was in there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.getuid():
        pytest.skip("mounting a small file system takes root")
    kept = folder.with_name(f"{folder.name}.kept")
    run(["cp", "-a", folder, kept])
    try:
        run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder])
    except CommandFailed as error:
        pytest.skip(f"no small file system can be mounted here: {error}")
    try:
        run(["cp", "-a", f"{kept}/.", folder])
        yield folder
        run(["rm", "-rf", kept])
        run(["cp", "-a", folder, kept])
    finally:
        run(["umount", "--lazy", folder])
    # What was written there stays where it was written.
    run(["cp", "-a", f"{kept}/.", folder])


def fill(folder: Path) -> Path:
    """Take all space that is left."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


@fault("the disk is full while the database is dumped", ends="old")
def full_while_dumping(scene: Scene) -> Iterator[None]:
    with small_disk(scene.site.root / "backups") as folder:
        filler = fill(folder)
        scene.fails()
        filler.unlink()
        yield


@fault("the disk is full while a release is unpacked", ends="old")
def full_while_unpacking(scene: Scene) -> Iterator[None]:
    with small_disk(scene.site.root / "releases") as folder:
        filler = fill(folder)
        scene.fails()
        filler.unlink()
        yield


@fault("the disk is full while the run is journaled", ends="old held cut")
def full_while_journaling(scene: Scene) -> Iterator[None]:
    with small_disk(scene.site.root / "journals") as folder:
        with scene.stopped_in("in") as running:
            filler = fill(folder)
            scene.gate.touch()
            scene.end(running)
        filler.unlink()
        yield


@fault("the volume of the database is full in mid-upgrade", ends="old", engines=SQLITE)
def full_in_upgrade(scene: Scene) -> Iterator[None]:
    assert isinstance(scene.target, SQLiteTarget)
    volume = scene.folder / "volume"
    with small_disk(volume):
        changed_place = volume / "app.db"
        run(["cp", scene.target.path, changed_place])
        scene.target.path = changed_place
        scene.settings["migrate_databases"] = [scene.target.entry]
        many = 'op.execute("INSERT INTO part (name) SELECT hex(randomblob(20)) FROM item")'
        much = f"open({str(scene.reached)!r}, 'w').close()\nif not os.path.exists({str(scene.gate)!r}):\n"
        scene.release(f"{PART}\n{much}    for _ in range(100000):\n        {many}\n{FILL_PART}")
        scene.fails()
        scene.gate.touch()
        scene.release()
        yield


@fault("the volume of the database is full in mid-upgrade", ends="old", engines=POSTGRESQL)
def full_server(scene: Scene) -> Iterator[None]:
    assert isinstance(scene.target, PostgresTarget)
    server, name = scene.target.database.server, scene.target.name
    volume = server.folder / f"volume-{name}"
    with small_disk(volume, "32m"):
        run(["chown", f"{USER}:{USER}", volume])
        server.execute(f"CREATE TABLESPACE \"{name}\" LOCATION '{volume}'")
        server.execute(f'ALTER DATABASE "{name}" SET TABLESPACE "{name}"')
        try:
            many = "op.execute('INSERT INTO part (name) SELECT repeat(chr(120), 50) FROM generate_series(1, 300000)')"
            scene.release(f"{PART}\nif not os.path.exists({str(scene.gate)!r}):\n    {many}\n{FILL_PART}")
            assert "No space left on device" in scene.fails().output
        finally:
            scene.gate.touch()
            server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            server.execute(f'ALTER DATABASE "{name}" SET TABLESPACE pg_default')
            server.execute(f'DROP TABLESPACE "{name}"')
    scene.release()
    yield


@fault("the volume of the database is full in mid-upgrade", ends="old", engines=MARIADB)
def full_mariadb(scene: Scene) -> Iterator[None]:
    assert isinstance(scene.target, MariaDBTarget)
    server = scene.target.database.server
    server.stop()
    try:
        with small_disk(server.data / scene.target.name, "6m") as folder:
            run(["chown", f"{MARIADB_USER}:{MARIADB_USER}", folder])
            server.start()
            many = "op.execute('INSERT INTO part (name) SELECT repeat(char(120), 50) FROM seq_1_to_300000')"
            scene.release(f"{PART}\nif not os.path.exists({str(scene.gate)!r}):\n    {many}\n{FILL_PART}")
            assert "is full" in scene.fails().output
            server.stop()
    finally:
        scene.gate.touch()
        server.start()
    scene.release()
    yield


@fault("the disk is full while a virtualenv is built", ends="old", engines=SQLITE)
def full_while_building(scene: Scene) -> Iterator[None]:
    wheelhouse = wheels.wheelhouse(["alembic"], ".".join(map(str, sys.version_info[:2])))
    (scene.source.folder / "requirements.txt").write_text("alembic\n")
    python = str(ansible.BIN / "python")
    scene.settings.update(migrate_virtualenv="", migrate_wheelhouse=wheelhouse, migrate_python=python)
    with small_disk(scene.site.root / "virtualenvs", "16m") as folder:
        filler = fill(folder)
        os.truncate(filler, 8 << 20)  # it begins well
        scene.fails()
        filler.unlink()
        assert not [path for path in folder.iterdir() if not path.name.startswith(".")]
    yield


@fault("the file system of backups is read-only", ends="old")
def read_only(scene: Scene) -> Iterator[None]:
    with small_disk(scene.site.root / "backups") as folder:
        run(["mount", "-o", "remount,ro", folder])
        scene.fails()
        run(["mount", "-o", "remount,rw", folder])
        yield


@fault("the file system of journals turns read-only in mid-upgrade", ends="old held cut")
def journals_read_only(scene: Scene) -> Iterator[None]:
    with small_disk(scene.site.root / "journals") as folder:
        with scene.stopped_in("in") as running:
            run(["mount", "-o", "remount,ro", "-f", folder], timeout=30)
            scene.gate.touch()
            scene.end(running)
        run(["mount", "-o", "remount,rw", folder])
        yield
