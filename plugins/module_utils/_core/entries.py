# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases' entries, each for the one process that works on it.

env.py is a customer's code, and a forked process holds what its parent held. So the process that forks never reads
an entry: the module writes all of them into a file without a name and hands over its descriptor. A process that works
on a database reads its own entry there, and closes the descriptor before anything of the customer is imported.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .argument_specs import Entry
from .kernel import show_to_user
from .secrets import FOR_ADMIN

# What the process that forks has to know of a database; all else may hold a secret.
_PUBLIC = ("name", "target", "url_variables", "problem", "problem_code")


@contextmanager
def hand_over_secrets(options: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield options without the secrets of their databases, and the descriptor that has these."""
    close_to_others()
    descriptor = _open_unnamed_file()
    places, offset = {}, 0
    try:
        for entry in options["databases"]:
            content = json.dumps(entry).encode()
            os.write(descriptor, content)
            places[entry["name"]] = [offset, len(content), _needs_own_process(entry, options)]
            offset += len(content)
        public = [_hide_secrets(entry) for entry in options["databases"]]
        yield {**options, "databases": public, "entries": {"descriptor": descriptor, "places": places}}, descriptor
    finally:
        os.close(descriptor)


def _needs_own_process(entry: Entry, options: dict[str, Any]) -> bool:
    """Return whether env.py of a database may need a process that was forked before its entry was read.

    The owner of a SQLite file may read its entry, which has no password for others: that process is forked when it is
    known that there is another owner than this user.
    """
    named = (*FOR_ADMIN, "run_as")
    return bool(options.get("run_as") or any(entry.get(name) for name in named))


def _open_unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("entries")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _hide_secrets(entry: Entry) -> Entry:
    """Return what may be known of an entry; its URL names the driver, its environment what is set."""
    scheme = str(entry.get("direct_url") or entry.get("url") or "").partition("://")[0]
    known = {name: entry[name] for name in _PUBLIC if entry.get(name) is not None}
    return {**known, "url": f"{scheme}://", "environment": dict.fromkeys(entry.get("environment") or {}, "")}


class Entries:
    """The entries that this process was handed, and has not read."""

    def __init__(self) -> None:
        self.descriptor = -1
        self._places: dict[str, list[int]] = {}

    def needs_own_process(self, name: str) -> bool:
        """Return whether env.py of a database may need a process that has not read its entry."""
        return self.descriptor >= 0 and name in self._places and bool(self._places[name][2])

    def receive(self, handed: dict[str, Any] | None) -> None:
        """Keep the descriptor, from all other processes of this user too, as far as the kernel can."""
        if handed:
            self.descriptor, self._places = int(handed["descriptor"]), dict(handed["places"])
            os.set_inheritable(self.descriptor, False)
            close_to_others()

    def find_entry(self, name: str) -> Entry | None:
        """Return the entry of a database, or None where it was not handed over in this way."""
        if self.descriptor < 0 or name not in self._places:
            return None
        offset, length = self._places[name][:2]
        return dict(json.loads(os.pread(self.descriptor, length, offset)))

    def close(self) -> None:
        """Close the descriptor: what runs from now on in this process gets at no other entry."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor, self._places = -1, {}


ENTRIES = Entries()


def close_to_others() -> None:
    """Have the kernel keep this process's memory and descriptors from others of the same user; root it cannot stop."""
    show_to_user(False)
