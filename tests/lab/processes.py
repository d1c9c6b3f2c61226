"""Processes, found by what they have open."""

from __future__ import annotations

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
