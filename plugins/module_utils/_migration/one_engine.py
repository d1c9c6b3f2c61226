# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One database of an env.py that migrates several, one after the other, and knows each by a name of its own.

Alembic's ``multidb`` template and Flask-Migrate's pass that name to ``context.run_migrations(engine_name=…)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._core.errors import Refused
from .alembic_import import EnvironmentContext
from .explanations import OTHER_DATABASE, of_several

#: How an entry names the engine to which Flask-Migrate's template gives an empty name.
DEFAULT = "default"


@contextmanager
def select_engine(engine_name: str, *arguments: Any, **options: Any) -> Iterator[None]:
    """Let env.py, in the block, run the migrations of one engine, and leave out those of the others.

    Args:
        engine_name: what env.py calls it; all that env.py runs are run, where it is empty.
        arguments: of Alembic's ``EnvironmentContext``, as the options are.

    Raises:
        Refused: env.py runs migrations of other engines only; or no engine was named, and the first leads elsewhere.
    """
    context = EnvironmentContext(*arguments, **options)
    filtered = _Filtered(engine_name, context.run_migrations)
    context.run_migrations = filtered.run_migrations  # type: ignore[method-assign]
    with context:  # from here on alembic.context has its functions
        yield
    filtered.check()


class _Filtered:
    """Alembic's function, called for one engine."""

    def __init__(self, engine_name: str, run_migrations: Any) -> None:
        self._run_migrations = run_migrations
        self._engine_name = engine_name
        self._wanted = {engine_name, ""} if engine_name == DEFAULT else {engine_name}
        self._left_out: list[str] = []
        self._has_run = False

    def run_migrations(self, **words: Any) -> None:
        """Run the migrations, unless they are another engine's."""
        name = words.get("engine_name")
        if self._engine_name and name is not None and name not in self._wanted:
            self._left_out.append(str(name))
            return
        self._has_run = True
        try:
            self._run_migrations(**words)
        except Refused as refusal:
            if self._engine_name or name is None or refusal.code != OTHER_DATABASE:
                raise
            raise of_several(refusal, str(name) or DEFAULT) from refusal

    def check(self) -> None:
        """Make sure that env.py knows the engine."""
        if self._left_out and not self._has_run:
            raise Refused(
                f"env.py has no engine {self._engine_name!r}",
                f"it calls them {', '.join(name or DEFAULT for name in self._left_out)}",
                "Correct engine_name",
                code="engine-name-unknown",
            )
