# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The versions of MariaDB, without SQLAlchemy."""

from __future__ import annotations

import re


def parse_version(version: str) -> tuple[int, int]:
    """Return the major and minor version in what a server or a program says of itself, (0, 0) if there is none."""
    found = re.search(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
