# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alembic of the release's virtualenv, apart from SQLAlchemy: a database at head is answered for without it."""

from __future__ import annotations

try:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext, MigrationStep
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    MISSING = ""
except ImportError as error:
    MISSING = str(error)
    # Names that module code mentions while it is loaded; nothing here is called without the library.
    globals().update(dict.fromkeys(("Config", "EnvironmentContext", "MigrationContext", "MigrationStep"), object))
    globals().update(ScriptDirectory=object, CommandError=Exception)

__all__ = [
    "MISSING",
    "CommandError",
    "Config",
    "EnvironmentContext",
    "MigrationContext",
    "MigrationStep",
    "ScriptDirectory",
]
