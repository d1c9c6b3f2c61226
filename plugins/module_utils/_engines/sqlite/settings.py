# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings that a SQLite file itself keeps of PRAGMAs."""

from __future__ import annotations

import sqlite3

#: Without its encoding: a file of another one cannot be attached beside it.
_SETTINGS = ("user_version", "application_id", "page_size", "auto_vacuum")


def describe_changed_settings(connection: sqlite3.Connection) -> list[str]:
    """Return in words what differs from an attached backup."""
    found = []
    for name in _SETTINGS:
        before, now = (connection.execute(f"pragma {schema}.{name}").fetchone()[0] for schema in ("backup", "main"))
        if before != now:
            found.append(f"{name} was {before} and is {now}")
    return found
