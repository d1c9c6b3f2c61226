# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A probe of a database, without SQLAlchemy, whose import is most of what such a probe would cost.

An engine leaves its ``connect_options`` with the record of what it verified; a probe uses them and needs no engine.
"""

from __future__ import annotations

from collections.abc import Callable

from .data import ConnectOptions, Probe
from .places import ENGINES, load_part

#: Imported at once: the processes that probe are forked, and each would import them for itself.
_PROBES: dict[str, Callable[..., Probe | None]] = {name: load_part(name, "probe") for name in ENGINES}


def probe_database(
    engine: str, connect_options: ConnectOptions, password: str | None, table: str, schema: str = ""
) -> Probe | None:
    """Return the heads of a version table (schema.table), None if that takes a full plan.

    Args:
        engine: its name.
        connect_options: those of the record.
        password: of its user.
        table: the version table.
        schema: the one that the entry means, none for the whole database.

    Raises:
        Exception: the driver's own, or any other, which means the same.
    """
    return _PROBES[engine]({**connect_options, "schema": schema}, password, table)
