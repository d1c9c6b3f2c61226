# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQLAlchemy of the release's virtualenv, in one place; Alembic has its own, which costs more to import.

A module starts under the host's own Python, which need not have it; the virtualenv's process always does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

try:
    import sqlalchemy as sa

    MISSING = ""
except ImportError as error:
    MISSING = str(error)
    globals().update(sa=None)

__all__ = ["MISSING", "register_listeners", "sa"]


@contextmanager
def register_listeners(*listeners: tuple[Any, str, Any]) -> Iterator[None]:
    """Have SQLAlchemy call listeners inside the block: each as its target, the event's name and what is called."""
    for listener in listeners:
        sa.event.listen(*listener)
    try:
        yield
    finally:
        for listener in listeners:
            sa.event.remove(*listener)
