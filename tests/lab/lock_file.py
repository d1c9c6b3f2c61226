"""One at a time, among all tests of this machine: what is made once must not be made twice at the same time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from . import CACHE


@contextmanager
def lock_file(name: str) -> Iterator[None]:
    """Wait until no other user is inside under this name."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
