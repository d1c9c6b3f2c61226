"""Backups that are damaged between the moment they were proven and the moment they are needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from tests.faults import mariadb
from tests.faults.fault import fault
from tests.faults.scene import PART, Scene
from tests.integration.targets import MariaDBTarget, PostgresTarget
from tests.lab.shell import run
from tests.lab.waiting import wait_until

Damage = Callable[[Scene, bytes], bytes]


def _flipped(_scene: Scene, data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _of_another(scene: Scene, data: bytes) -> bytes:
    """A good dump, or the directory of one, but of another database."""
    if isinstance(scene.target, PostgresTarget):
        server, folder = scene.target.database.server, scene.folder / "another"
        if not folder.exists():
            run([server.bin / "pg_dump", "--format=directory", f"--file={folder}", "--dbname", server.url()])
        return (folder / "toc.dat").read_bytes() if data.startswith(b"PGDMP") else data
    if isinstance(scene.target, MariaDBTarget):
        with mariadb.another(scene.target) as another:
            another.rows("CREATE TABLE item (id int, name text)")
            return another.dump().encode()
    path = scene.folder / "another.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS item (id, name)")
    return path.read_bytes()


_DAMAGES: dict[str, Damage] = {
    "cut short": lambda _scene, data: data[: len(data) // 2],
    "flipped in one bit": _flipped,
    "empty": lambda _scene, _data: b"",
    "another database's": _of_another,
}


def _pieces(scene: Scene) -> list[Path]:
    dump = scene.newest_dump()
    found = [path for path in sorted(dump.rglob("*")) if path.is_file()] if dump.is_dir() else [dump]
    assert found
    return found


def _damaged(words: str, damage: Damage) -> None:
    @fault(f"the dump is {words} when a revision that left something behind has failed", ends="held")
    def inject(scene: Scene) -> Iterator[None]:
        scene.release(f"{scene.leave()}\n{scene.stop_here()}\nraise RuntimeError('fails on purpose')")
        with scene.site.start("migrate", **scene.settings) as running:
            wait_until(scene.reached.exists, "revision 0003 was not reached")
            pieces = {path: path.read_bytes() for path in _pieces(scene)}
            for path, data in pieces.items():
                path.write_bytes(damage(scene, data))
            scene.gate.touch()
            scene.end(running)
        assert scene.target.rows("SELECT count(*) FROM item") == [(3,)]
        for path, data in pieces.items():
            path.write_bytes(data)
        scene.release(PART)
        yield


for _words, _damage in _DAMAGES.items():
    _damaged(_words, _damage)
