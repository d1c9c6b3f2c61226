# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of each engine that knows who wrote to it; it is loaded when it is requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .interface import Engine
from .places import load_part
from .write_tracker import WriteTracker


def write_tracker_of(engine: Engine) -> WriteTracker:
    """Return the part of a database's engine that knows who wrote to it."""
    return engine.part(load_write_tracker(engine.name))


def load_write_tracker(name: str) -> Callable[[Any], WriteTracker]:
    """Return what makes the part, for an engine of a name."""
    kind: type[WriteTracker] = load_part(name, "write_tracker")
    return kind
