# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan or a status in parts: a call begins databases for some seconds, and the next one goes on with the others.

A plan of few databases, or a quick one, is one call. The connection shows nothing of a call until it ends, so that of
hundreds of databases nothing would be printed for minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Options = dict[str, Any]


def without_done(options: Options) -> Options:
    """Return a module's options without the databases of earlier calls."""
    done = {entry["name"] for entry in options["done_before"]}
    return {**options, "databases": [entry for entry in options["databases"] if entry["name"] not in done]}


def progress_of(options: Options, answered: Iterable[Options]) -> dict[str, Any]:
    """Return whether a call has answered for each database, and how many there are with those of earlier calls.

    Args:
        options: from ``without_done``.
        answered: the databases that need no other call.
    """
    count = len(options["databases"])
    return {"finished": len(list(answered)) >= count, "total": count + len(options["done_before"])}
