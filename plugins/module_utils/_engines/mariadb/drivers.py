# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drivers of MariaDB that can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data import Drivers
from .options import build_own_query

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def _build_own_url(url: URL, driver: str) -> URL:
    """Return it under SQLAlchemy's other name for the dialect: the one of this name refuses MySQL unnamed."""
    return url.set(drivername=f"mysql+{driver}", query=build_own_query(url, driver))


DRIVERS = Drivers(
    packages={
        "pymysql": "pymysql",
        "mysqldb": "MySQLdb",
        "mariadbconnector": "mariadb",
        "asyncmy": "asyncmy",
        "aiomysql": "aiomysql",
    },
    to_install="PyMySQL",
    own_url=_build_own_url,
    port=3306,
)
