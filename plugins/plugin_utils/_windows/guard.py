# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that a scheduled run begins with: whether a window is open. Ends with 0 if one is, with 3 if none is.

python -c 'from … import guard; guard.main()' [--at-start] < windows.json
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta

from . import permit
from .options import read_windows
from .window import find_next_after, format_moment, is_started_since, open_at

#: Cron runs it several times an hour. Only the first time after a window has opened is its start.
AT_START = "--at-start"
CLOSED = 3
_START = timedelta(minutes=5)


def main() -> None:
    """Say when the next window opens, and end with whether one is open now."""
    windows = read_windows(json.load(sys.stdin))
    moment = permit.read_now()
    if open_at(windows, moment) and (AT_START not in sys.argv or is_started_since(windows, moment - _START, moment)):
        sys.exit(0)
    next_window = find_next_after(windows, moment)
    print(
        f"the next window opens {format_moment(next_window.opens, next_window.zone)}"
        if next_window
        else "no window opens within a year"
    )
    sys.exit(CLOSED)
