# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of each engine that rehearses on copies of it; it is loaded when it is requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .interface import Engine
from .places import load_part
from .rehearser import Rehearser


def rehearser_of(engine: Engine) -> Rehearser:
    """Return the part of a database's engine that rehearses on copies of it."""
    return engine.part(load_rehearser(engine.name))


def load_rehearser(name: str) -> Callable[[Any], Rehearser]:
    """Return what makes the part, for an engine of a name."""
    kind: type[Rehearser] = load_part(name, "rehearser")
    return kind
