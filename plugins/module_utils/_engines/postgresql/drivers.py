# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drivers of PostgreSQL that can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data import Drivers
from .libpq_options import build_driver_query, with_defaults

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def _build_own_url(url: URL, driver: str) -> URL:
    return url.set(drivername=f"postgresql+{driver}", query=build_driver_query(url, driver))


DRIVERS = Drivers(
    packages={"psycopg2": "psycopg2", "psycopg": "psycopg", "asyncpg": "asyncpg"},
    to_install="psycopg2-binary",
    own_url=_build_own_url,
    port=5432,
    with_defaults=with_defaults,
)
