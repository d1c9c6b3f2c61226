# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words of SQL that all engines write the same way."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return an identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'


def qualified(table: str) -> str:
    """Return schema.table in quotes; a table may be named alone."""
    return ".".join(map(quoted, table.rsplit(".", 1)))
