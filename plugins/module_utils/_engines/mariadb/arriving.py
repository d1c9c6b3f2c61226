# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check for writes of others into restored tables, in the moment before their triggers were there."""

from __future__ import annotations

from .beside import Beside
from .content import build_digest_columns, hash_rows
from .quoting import qualify_name, quote_literal

_MARK = "hosting_alembic_digest"


def read_arriving_digests(beside: Beside, tables: list[str]) -> dict[str, tuple[str, str]]:
    """Return for each table with triggers what reads the digest of its rows once it has moved in, and the digest."""
    own = beside.engine.open_own_connection()
    found: dict[str, tuple[str, str]] = {}
    for table in tables:
        if table not in beside.before.triggers:
            continue
        columns = [column for column in beside.find_columns_before(table).values() if not column.is_generated]
        place = qualify_name(beside.schema, table)
        # A digest is of values as a session in UTC sees them.
        read = (
            f"set statement time_zone = '+00:00' for select {quote_literal(_MARK)}, {len(found)},"
            f" {build_digest_columns(columns)}"
            f" from {place}"
        )
        found[table] = read, hash_rows(own, *beside.there.locate_table(table), columns)
    return found


def find_early_writes(read: dict[str, tuple[str, str]], printed: list[str]) -> list[str]:
    """Return in words which tables had other rows when they were locked than when they were moved in."""
    rows = [line.split("\t") for line in printed]
    digests = {row[1]: f"{row[2]} {row[3]}" for row in rows if len(row) == 4 and row[0] == _MARK and row[2].isdigit()}
    return [
        f"what others wrote into table {table} in the moment before its triggers were there"
        for number, (table, (_read, digest)) in enumerate(read.items())
        if digests.get(str(number)) != digest
    ]
