# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The call of ``migrate_setup``, before env.py runs."""

from __future__ import annotations

import importlib
from contextlib import ExitStack

from .._core.errors import Refused


def run_setup(setup: str, inside: ExitStack) -> None:
    """Call it, if anything is named, and stay inside of what it returns.

    Raises:
        Refused: it failed.
    """
    if not setup:
        return
    try:
        module, _colon, name = setup.partition(":")
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
            code="setup-failed",
        ) from error
