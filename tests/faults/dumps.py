"""Backups that are damaged between the moment they were proven and the moment they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.fault import fault
from tests.faults.scene import PART, Scene, wait_until
from tests.integration.targets import PostgresTarget

Damage = Callable[[bytes], bytes]


def _flipped(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


_DAMAGES: dict[str, Damage] = {
    "cut short": lambda data: data[: len(data) // 2],
    "flipped in one bit": _flipped,
    "empty": lambda _data: b"",
    "another database's": lambda data: data[::-1],
}


def _pieces(scene: Scene) -> list[Path]:
    dump = scene.newest_dump()
    found = [path for path in sorted(dump.rglob("*")) if path.is_file()] if dump.is_dir() else [dump]
    assert found
    return found


def _damaged(words: str, damage: Damage) -> None:
    @fault(f"the dump is {words} when a revision that left something behind has failed", ends="held")
    def inject(scene: Scene) -> Iterator[None]:
        left = "op.execute('CREATE TABLE half (id int)')"
        if isinstance(scene.target, PostgresTarget):
            left = f"with op.get_context().autocommit_block():\n    {left}"
        scene.release(f"{left}\n{scene.stop_here()}\nraise RuntimeError('fails on purpose')")
        with scene.site.start("migrate", **scene.settings) as running:
            wait_until(scene.reached.exists, "revision 0003 was not reached")
            pieces = {path: path.read_bytes() for path in _pieces(scene)}
            for path, data in pieces.items():
                path.write_bytes(damage(data))
            scene.gate.touch()
            scene.end(running)
        assert scene.target.rows("SELECT count(*) FROM item") == [(3,)]
        for path, data in pieces.items():
            path.write_bytes(data)
        scene.release(PART)
        yield


for _words, _damage in _DAMAGES.items():
    _damaged(_words, _damage)
