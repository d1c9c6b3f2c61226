# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The present step of a database's process, for the process that follows it. Not a journal: it may be lost."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .masking import mask_text

_EVERY = 1.0  # seconds


class Progress:
    """A phase and a detail, written to a file once a second by a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: Says who keeps the work waiting; it is called in the thread, so it needs a connection of its own.
        self.waits_for: Callable[[], list[str]] = list
        self._phase = "starts"
        self._detail = ""
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def begin_phase(self, phase: str) -> None:
        """Begin a phase."""
        self._phase, self._detail, self._begun = phase, "", time.monotonic()

    def report(self, detail: str) -> None:
        """Say how far the phase is."""
        self._detail = detail

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        while not self._ended.wait(_EVERY):
            try:
                self._write_once()
            except Exception:  # noqa: BLE001, S112 - progress must never stop the work
                continue

    def _write_once(self) -> None:
        seconds = time.monotonic() - self._begun
        blockers = self.waits_for()
        parts = [self._phase, self._detail, "waits for " + "; ".join(blockers) if blockers else ""]
        line = f"{', '.join(part for part in parts if part)} ({seconds:.0f} s)"
        beside = self._path.with_suffix(".writing")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump({"line": mask_text(line), "at": time.time()}, handle)
        os.replace(beside, self._path)


def read_progress(path: Path) -> str:
    """Return the last progress of a process, or nothing."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["line"])
    except (OSError, ValueError, KeyError):
        return ""
