# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock of a live worker on its file. A process id proves nothing: it is used again."""

from __future__ import annotations

import os
from pathlib import Path

from .._core.paths import Layout, try_lock


def is_worker_alive(layout: Layout, run: str, verb: str) -> bool:
    """Return whether the worker of any run's verb holds its lock."""
    return _is_held(layout.locate_worker(run, verb))


def is_run_alive(layout: Layout, run: str) -> bool:
    """Return whether the worker of a run is alive, whatever its verb."""
    return any(_is_held(path) for path in layout.workers.glob(f"{run}.*"))


def is_any_worker_alive(layout: Layout) -> bool:
    """Return whether any worker below a root is alive."""
    return layout.workers.is_dir() and any(_is_held(path) for path in layout.workers.iterdir())


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)
