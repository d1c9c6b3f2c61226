# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQLAlchemy of the release's virtualenv, in one place; Alembic has its own, which costs more to import.

A module starts under the host's own Python, which need not have it; the engine room always does.
"""

from __future__ import annotations

try:
    import sqlalchemy as sa

    MISSING = ""
except ImportError as error:
    MISSING = str(error)
    globals().update(sa=None)

__all__ = ["MISSING", "sa"]
