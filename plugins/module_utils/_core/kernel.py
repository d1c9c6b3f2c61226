# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to the kernel about this process, by prctl(2), which Python does not wrap."""

from __future__ import annotations

import signal
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def end_with_parent() -> None:
    """Have this process ended when the one ends that started it."""
    _call_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def show_to_user(shown: bool) -> None:
    """Let others of the same user read this process's memory and descriptors, or not; root it cannot stop."""
    _call_prctl(_PR_SET_DUMPABLE, int(shown))


def _call_prctl(option: int, value: int) -> None:
    with suppress(ImportError, OSError, AttributeError):
        import ctypes  # noqa: PLC0415 - a small Python may come without it

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
