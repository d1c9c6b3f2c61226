# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""The entry of the process that runs the verbs."""

from __future__ import annotations

from .._core.serve import serve
from .._migration.spawner import SPAWNER
from .dispatch import do


def main() -> None:
    """Do one job; runs under the virtualenv's Python."""
    serve(do, SPAWNER.start)
