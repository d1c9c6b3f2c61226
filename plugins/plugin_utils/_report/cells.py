# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cells of a table."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result
from ansible_collections.hosting.alembic.plugins.module_utils._core.revisions import describe_heads

from .sizes import format_size


def format_heads(revisions: Sequence[str] | None) -> str:
    """Return the heads of a database."""
    return "unknown" if revisions is None else describe_heads(revisions)


def format_seconds(value: float | None) -> str:
    """Return a duration."""
    return "" if value is None else f"{value:.1f} s"


def format_moment(value: str) -> str:
    """Return a time in UTC, to the second."""
    return value[:19].replace("T", " ")


def render_backup(result: Result) -> str:
    """Return where the backup of a database lies, and its size."""
    backup = result.get("backup")
    return f"{backup['path']} ({format_size(backup['size'])})" if backup else ""
