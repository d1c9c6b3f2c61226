# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of the kinds of databases: the modules of each engine's parts.

They are named by texts, so that a host with files only loads nothing of what servers need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

_ENGINES = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class Places:
    """The parts of one engine, each as ``file:name``, the file below the folder of the engine."""

    engine: str
    restorer: str
    write_tracker: str
    rehearser: str
    probe: str = "probe:read_probe"
    select_rows: str = "select_rows:select_rows"
    #: A ``Drivers``.
    drivers: str = "drivers:DRIVERS"
    #: The statement that lists the schemas which are migrated one by one, where the engine has such.
    schemas: str = ""


#: By the name that ``find_backend`` gives a URL, which is the engine's own and that of its folder.
ENGINES: Mapping[str, Places] = MappingProxyType(
    {
        "mariadb": Places(
            engine="engine:MariaDB",
            restorer="restorer:MariaDBRestorer",
            write_tracker="write_tracker:MariaDBWriteTracker",
            rehearser="scratch:MariaDBRehearser",
        ),
        "postgresql": Places(
            engine="engine:PostgreSQL",
            restorer="restorer:PostgreSQLRestorer",
            write_tracker="write_tracker:PostgreSQLWriteTracker",
            rehearser="scratch:PostgreSQLRehearser",
            schemas="select_rows:SCHEMAS",
        ),
        "sqlite": Places(
            engine="engine:SQLite",
            restorer="restore:SQLiteRestorer",
            write_tracker="write_tracker:SQLiteWriteTracker",
            rehearser="scratch:SQLiteRehearser",
        ),
    }
)


def load_part(backend: str, part: str) -> Any:
    """Import one part of an engine and return it, None where the engine has no such part.

    Args:
        backend: a key of ``ENGINES``.
        part: a field of ``Places``.
    """
    file, _colon, name = getattr(ENGINES[backend], part).partition(":")
    return getattr(import_module(f"{_ENGINES}.{backend}.{file}"), name) if file else None
