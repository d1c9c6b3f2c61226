# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An env.py that calls ``sys.exit(0)`` when it has migrated: for ``alembic`` on a command line that is success."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class Runs:
    """The number of calls of ``run_migrations()`` by env.py, and of those that ended."""

    def __init__(self) -> None:
        self._begun = self._ended = 0

    def follow_steps(self, steps: Iterable[Any]) -> Iterator[Any]:
        """Yield the steps of one call."""
        self._begun += 1
        yield from steps
        self._ended += 1

    @contextmanager
    def may_exit(self) -> Iterator[None]:
        """Take an exit without an error behind the last call for the end of env.py; a revision's is none."""
        try:
            yield
        except SystemExit as error:
            if error.code not in (None, 0) or not self._begun or self._begun != self._ended:
                raise
