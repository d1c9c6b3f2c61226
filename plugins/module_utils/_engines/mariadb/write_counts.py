# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that all that a server has written since a backup was written by env.py and by us.

A server counts the rows that are written, and the statements that change a schema, of all its sessions together and of
each session by itself; everyone may read that. Where the difference of two readings is what our own sessions have
written, no other session has written anywhere on the server. Who has, and where, it does not say.

A row is counted when it is written and not when it is committed. So of a transaction that was open when the first
reading was made it is not known whether its rows are in the backup: then the counters vouch for nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .not_transactional import read_nontransactional
from .session_counters import Counts, count_growth, read_counters

if TYPE_CHECKING:
    from ..connection import OwnConnection

#: What a server that was started again, or whose counters were set back, does not have.
_AGE = "select variable_value from information_schema.global_status where variable_name = 'Uptime_since_flush_status'"
#: Whether the answer is of now, and how many transactions have written rows; PROCESS is needed to read it.
_OPEN = (
    "select coalesce(sum(locate('{mark}', trx_query) > 0), 0), coalesce(sum(trx_rows_modified > 0), 0)"
    " from information_schema.innodb_trx"
)
#: A server shows again what it has shown before unless it was not read for a tenth of a second.
_PAUSES = (0, 0.12, 0.12)
COUNTS, AGE, READ = "counts", "age", "read_at"


def may_vouch(own: OwnConnection) -> bool:
    """Return whether what the server had counted right before vouches for what a dump has."""
    try:
        if own.run(read_nontransactional):  # of these a dump has what was there at another moment
            return False
        # After the counters: what is written from now on they show, what was written before must be committed by now.
        return _has_no_open_rows(own)
    except Exception:  # noqa: BLE001 - whatever is not permitted here
        return False


def _has_no_open_rows(own: OwnConnection) -> bool:
    """Return whether the server shows, as of now, that no transaction has written rows and is open.

    The answer is of now if a transaction of ours is in it, with this very statement. Where a monitor reads the same
    many times a second, the server never shows anything new: then it is unknown.
    """
    for pause in _PAUSES:
        own.query_rows(f"do sleep({pause})")
        own.query_rows("start transaction with consistent snapshot, read only")
        try:
            [(is_of_now, have_written)] = own.query_rows(_OPEN.format(mark=secrets.token_hex(8)))
        finally:
            own.query_rows("commit")
        if is_of_now:
            return not have_written
    return False


def read_server_counters(own: OwnConnection) -> dict[str, Any]:
    """Return what the server has counted until now, and for how long it counts."""
    age = int(own.query_rows(_AGE)[0][0])
    now = int(own.query_rows("select unix_timestamp()")[0][0])
    return {COUNTS: own.run(read_counters, "global"), AGE: age, READ: now}


def is_only_ours(before: Mapping[str, Any], now: Mapping[str, Any], ours: Counts) -> bool:
    """Return whether what was counted between two readings is what our own sessions have written."""
    if not before or COUNTS not in before or not now:
        return False
    # Both are whole seconds, of which one may be cut off.
    if abs((now[AGE] - before[AGE]) - (now[READ] - before[READ])) > 1:
        return False
    return count_growth(before[COUNTS], now[COUNTS]) == {name: count for name, count in ours.items() if count}
