# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of plain text."""

from __future__ import annotations

from collections.abc import Sequence


def render_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned lines; a column that is empty in every row is left out."""
    kept = [index for index in range(len(headings)) if any(row[index] for row in rows)]
    cells = [[line[index] for index in kept] for line in [headings, *rows]]
    widths = [max(len(line[index]) for line in cells) for index in range(len(kept))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]
