# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers of transactions in PostgreSQL, compared in SQL: they have 32 bits and go round.

See "System Columns" and "Transactions and Identifiers" in PostgreSQL's manual.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

NUMBERS = 1 << 32
#: The number that the server will give next, not yet of 32 bits; 3 is the first that is a transaction's.
NEXT = "3 + age('3'::xid)::bigint"
#: Half of the numbers that a transaction can have lie before any one, and half after it.
_HALF = NUMBERS // 2

#: The transaction that wrote a row.
XMIN = "xmin::text::bigint"


def is_since(number: str, activity: dict[str, Any]) -> str:
    """Return the condition that a transaction was not yet committed at a backup.

    Args:
        number: of the transaction, in SQL.
        activity: what the engine had counted at the backup.
    """
    later = f"{_build_distance(number, int(activity['newest_transaction']))} < {_HALF}"
    open_then = activity.get("open_transactions", ())
    return f"({later} or {is_one_of(number, open_then)})" if open_then else f"({later})"


def is_within(number: str, first: int, end: int) -> str:
    """Return the condition that a transaction has a number from one to before another."""
    return f"({_build_distance(number, first)} < {(end - first) % NUMBERS})"


def is_one_of(number: str, transactions: Iterable[int]) -> str:
    """Return the condition that a transaction is one of some."""
    numbers = ", ".join(str(each) for each in sorted({int(each) % NUMBERS for each in transactions}))
    return f"({number} in ({numbers}))" if numbers else "false"


def _build_distance(number: str, since: int) -> str:
    """Return how many transactions later than another one a transaction is."""
    return f"(({number} - {since % NUMBERS} + {NUMBERS}) % {NUMBERS})"
