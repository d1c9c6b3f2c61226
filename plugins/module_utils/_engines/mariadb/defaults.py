# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The defaults of new tables and routines of a database: a part of its schema that is in no dump of its tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import HALF_WAY, Failed
from ..._core.paths import make_private_directory
from ..._core.records import read_record, write_record
from .content import read_charset, run_sql
from .made_schemas import MadeSchemas
from .quoting import quote_name

if TYPE_CHECKING:
    from .session import MariaDBSession

_LINE = re.compile(r"database: (\w+) (\w+)")
_NAME = re.compile(r"\w+")


def find_defaults(fingerprint: Iterable[str]) -> tuple[str, str] | None:
    """Return the character set and the collation that a fingerprint has of a database, None if it has none."""
    return next(((match[1], match[2]) for line in fingerprint if (match := _LINE.fullmatch(line))), None)


@contextmanager
def set_defaults(engine: MariaDBSession, fingerprint: Iterable[str]) -> Iterator[None]:
    """Give a database the defaults of a backup before anything is made in it again; if that fails, those it had.

    Those that it had are written down on the host first, until the restore has come through: where it stops half-way,
    the run that ends or undoes it knows which of the two belong to the tables.

    Args:
        engine: of the database.
        fingerprint: of the backup; without a line of the defaults they stay.
    """
    own, schema = engine.open_own_connection(), engine.name_on_server
    wanted, now = find_defaults(fingerprint), read_charset(own, schema)
    if wanted is None or now is None or wanted == now:
        yield
        return
    place = _locate_record(engine)
    make_private_directory(place.parent)
    write_record(place, {"schema": schema, "charset": now[0], "collation": now[1]})
    try:
        _set(engine, schema, *wanted)
        yield
    except BaseException as error:
        if not (isinstance(error, Failed) and error.code == HALF_WAY):
            with suppress(Exception):  # the server may be gone, then the next run does
                set_back(engine)
        raise
    keep_defaults(engine)


def keep_defaults(engine: MariaDBSession) -> None:
    """Have a database keep the defaults that it has got: the restore is through."""
    _locate_record(engine).unlink(missing_ok=True)


def set_back(engine: MariaDBSession) -> None:
    """Give a database the defaults back that it had before a restore which has not come through, if there was one.

    Raises:
        LaterFormat: a later version has written them down in a format of its own.
        Exception: the driver's; the next call does it.
    """
    place, schema = _locate_record(engine), engine.name_on_server
    try:
        facts = read_record(place)
    except (OSError, ValueError):
        return
    names = [str(facts.get(each, "")) for each in ("charset", "collation")]
    if facts.get("schema") == schema and all(_NAME.fullmatch(name) for name in names):
        _set(engine, schema, *names)
    keep_defaults(engine)


def _locate_record(engine: MariaDBSession) -> Path:
    return MadeSchemas.of(engine).locate_file_beside(engine.name_on_server, ".defaults")


def _set(engine: MariaDBSession, schema: str, charset: str, collation: str) -> None:
    run_sql(
        engine.open_own_connection(), f"alter database {quote_name(schema)} character set {charset} collate {collation}"
    )
