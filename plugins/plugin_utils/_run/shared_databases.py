# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases that several hosts name: which host of a batch is waited for, and until when."""

from __future__ import annotations

import time
from typing import Any

from . import invocation
from .screen import show

_POLL_INTERVAL = 0.5  # seconds
_REPORT_EVERY = 5  # seconds
#: Forks take hosts in order: a host that has not begun after so many seconds has failed before it came to this.
_BEGINS_WITHIN = 10


class Turns:
    """The order in which the hosts of a batch do one thing to what they share."""

    def __init__(self, verb: str, run_id: str, facts: dict[str, Any]) -> None:
        self._begun, self._ended = f"{verb}-begun-{run_id}", f"{verb}-ended-{run_id}"
        self.verb = verb
        self.host: str = facts["inventory_hostname"]
        batch = facts.get("ansible_play_batch") or [self.host]
        self.earlier: list[str] = batch[: batch.index(self.host)] if self.host in batch else []

    def begin(self) -> None:
        """Say that this host has come to it."""
        invocation.share_facts(self._begun, self.host, True)

    def end(self) -> None:
        """Say that this host is done with it."""
        invocation.share_facts(self._ended, self.host, True)

    def list_sharing(self) -> dict[str, str]:
        """Return, for each database that an earlier host of the batch shares with this one, the first such host."""
        mine = invocation.read_shared("plans", self.host) or {}
        found: dict[str, str] = {}
        for other in reversed(self.earlier):
            identities = set((invocation.read_shared("plans", other) or {}).values())
            found.update({name: other for name, identity in mine.items() if identity in identities})
        return found

    def wait_for(self, other: str) -> bool:
        """Wait until another host is done, and return whether it came to it at all."""
        begun = reported = time.monotonic()
        while not invocation.read_shared(self._ended, other):
            now = time.monotonic()
            if not invocation.read_shared(self._begun, other) and now - begun > _BEGINS_WITHIN:
                return False
            if now - reported > _REPORT_EVERY:
                reported = now
                seconds = f"{reported - begun:.0f} s"
                show([f"  {self.host} | waits for {other}, which {self.verb} a shared database ({seconds})"])
            time.sleep(_POLL_INTERVAL)
        return True
