# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of each engine that restores it; it is loaded when it is requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .interface import Engine
from .places import load_part
from .restorer import Restorer


def restorer_of(engine: Engine) -> Restorer:
    """Return the part of a database's engine that restores it."""
    return engine.part(load_restorer(engine.name))


def load_restorer(name: str) -> Callable[[Any], Restorer]:
    """Return what makes the part, for an engine of a name."""
    kind: type[Restorer] = load_part(name, "restorer")
    return kind
