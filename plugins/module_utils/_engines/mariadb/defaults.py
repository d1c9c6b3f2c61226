# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What new tables and routines of a database get, which is a part of its schema, and in no dump of its tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .content import charset_of, run_sql
from .quoting import quoted

if TYPE_CHECKING:
    from .session import MariaDBSession

_LINE = re.compile(r"database: (\w+) (\w+)")


@contextmanager
def defaults_of(engine: MariaDBSession, fingerprint: Iterable[str]) -> Iterator[None]:
    """Give a database the defaults of a backup before anything is made in it again; if that fails, those it had.

    A run that is killed in between leaves those of the backup, which are what the next one wants too.

    Args:
        engine: of the database.
        fingerprint: of the backup; without a line of the defaults they stay.
    """
    own, schema = engine.own(), engine.name_on_server
    wanted = next((match.groups() for line in fingerprint if (match := _LINE.fullmatch(line))), None)
    now = charset_of(own, schema)
    if wanted is None or now is None or wanted == now:
        yield
        return
    _set(engine, schema, *wanted)
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the server may be gone
            _set(engine, schema, *now)
        raise


def _set(engine: MariaDBSession, schema: str, charset: str, collation: str) -> None:
    run_sql(engine.own(), f"alter database {quoted(schema)} character set {charset} collate {collation}")
