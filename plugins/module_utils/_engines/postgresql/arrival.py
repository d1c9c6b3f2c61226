# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of a restore that did not bring all that the backup holds, while it can still be given up."""

from __future__ import annotations

from collections.abc import Sequence

from ..._core.errors import Failed

_MOST_NAMED = 5


def refuse_what_did_not_arrive(name: str, differing: Sequence[str]) -> None:
    """Fail where anything differs.

    Args:
        name: of the database, for people.
        differing: what was restored and is not what was backed up, in words.

    Raises:
        Failed: there is something; the database is as it was.
    """
    if differing:
        raise Failed(
            f"What was restored of {name!r} is not what was backed up",
            "; ".join(differing[:_MOST_NAMED]),
            "The database is as it was before the restore",
            code="restore-not-exact",
        )
