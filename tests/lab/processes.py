"""Processes, found by what they have open, and the command lines of all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def holding(path: Path) -> list[int]:
    """The processes that have a path, or anything below it, open: where it is a test's own, that test started them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [link.readlink() for link in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(link.is_relative_to(path) for link in links):
            found.append(int(process.name))
    return sorted(found)


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """Collect the command lines of all processes of the machine, over and over."""
    seen: set[str] = set()
    ended = threading.Event()

    def collect() -> None:
        while not ended.wait(0.005):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
