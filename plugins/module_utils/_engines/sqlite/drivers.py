# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drivers of SQLite that can be used; the first is Python's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data import Drivers

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def _build_own_url(url: URL, driver: str) -> URL:
    return url.set(drivername=f"sqlite+{driver}")


DRIVERS = Drivers(
    packages={"pysqlite": "sqlite3", "aiosqlite": "aiosqlite"}, to_install="sqlite", own_url=_build_own_url
)
