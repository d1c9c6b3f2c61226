# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``migrate_setup`` names: it is called before env.py runs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ..errors import Refused
from ..libraries import listening, sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine


def enter_setup(setup: str, inside: ExitStack) -> None:
    """Call it, if anything is named, and stay inside of what it returns.

    Raises:
        Refused: it failed.
    """
    if not setup:
        return
    try:
        module, _colon, name = setup.partition(":")
        with _idle_sessions_ended():
            prepared = getattr(importlib.import_module(module), name)()
        if hasattr(prepared, "app_context"):  # a Flask application
            prepared = prepared.app_context()
        if hasattr(prepared, "__enter__"):
            inside.enter_context(prepared)
    except (Exception, SystemExit) as error:
        raise Refused(
            f"migrate_setup {setup!r} failed",
            f"{type(error).__name__}: {error}",
            "It is called without arguments before env.py runs; it is looked up in the release and the virtualenv",
        ) from error


@contextmanager
def _idle_sessions_ended() -> Iterator[None]:
    """End the sessions that pools keep of the block: a server counts what a session wrote once it is idle or ended."""
    used: list[Engine] = []

    def connected(connection: Connection, *_: object) -> None:
        used.append(connection.engine)

    with listening((sa.engine.Engine, "engine_connect", connected)):
        yield
    for engine in used:
        if isinstance(engine.pool, sa.pool.QueuePool):  # what another pool keeps may be a database in memory
            engine.dispose()
