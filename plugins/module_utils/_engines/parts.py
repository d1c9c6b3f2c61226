# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of an engine beside the engine itself; each is loaded when it is requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .places import load_part

if TYPE_CHECKING:
    from .interface import Engine
    from .rehearser import Rehearser
    from .restorer import Restorer
    from .write_tracker import WriteTracker


def find_restorer(engine: Engine) -> Restorer:
    """Return the part of a database's engine that restores it."""
    return engine.find_part(load_restorer(engine.name))


def find_rehearser(engine: Engine) -> Rehearser:
    """Return the part of a database's engine that rehearses on copies of it."""
    return engine.find_part(load_rehearser(engine.name))


def find_write_tracker(engine: Engine) -> WriteTracker:
    """Return the part of a database's engine that knows who wrote to it."""
    return engine.find_part(load_write_tracker(engine.name))


def load_restorer(name: str) -> Callable[[Any], Restorer]:
    """Return what makes the part that restores, for an engine of a name."""
    kind: type[Restorer] = load_part(name, "restorer")
    return kind


def load_rehearser(name: str) -> Callable[[Any], Rehearser]:
    """Return what makes the part that rehearses, for an engine of a name."""
    kind: type[Rehearser] = load_part(name, "rehearser")
    return kind


def load_write_tracker(name: str) -> Callable[[Any], WriteTracker]:
    """Return what makes the part that knows who wrote, for an engine of a name."""
    kind: type[WriteTracker] = load_part(name, "write_tracker")
    return kind
