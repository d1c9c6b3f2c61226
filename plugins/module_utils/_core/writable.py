# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that ``migrate_root`` can be written, before anything is shipped or planned."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import Refused


def refuse_if_root_cannot_be_written(root: Path) -> None:
    """Refuse a ``migrate_root`` that this user cannot make or write to.

    Raises:
        Refused: it is one.
    """
    place = next((path for path in (root, *root.parents) if os.path.lexists(path)), Path("/"))
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return
    why = "is not writable for this user" if place.is_dir() else "is not a directory"
    raise Refused(
        f"migrate_root {root} cannot be {'written' if place == root else 'made'}",
        f"{place} {why}",
        "Set become: true for the host, or set migrate_root to a folder of this user",
        code="root-not-writable",
    )
