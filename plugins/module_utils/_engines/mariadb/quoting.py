# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names in backquotes, which MariaDB understands whatever its sql_mode is."""

from __future__ import annotations


def quote_name(name: str) -> str:
    """Return a name in backquotes."""
    return "`" + name.replace("`", "``") + "`"


def qualify_name(schema: str, name: str) -> str:
    """Return schema.name in backquotes."""
    return f"{quote_name(schema)}.{quote_name(name)}"


def quote_grant_pattern(schema: str, more: str = "") -> str:
    """Return what a grant calls a schema: quoted, and without the meaning that _ and % have there.

    Args:
        schema: its name.
        more: what follows it, as a pattern.
    """
    return quote_name(schema.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%") + more)


def quote_grantee(user: str) -> str:
    """Return what a grant calls a user whom ``current_user()`` has named."""
    name, _at, host = user.rpartition("@")
    return f"{quote_name(name)}@{quote_name(host)}"


def quote_literal(text: str) -> str:
    """Return a string, for a session without NO_BACKSLASH_ESCAPES."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
