# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schemas that this host has made beside databases, and their content, recorded on the host.

Any user who may make a schema of such a name may write into it what he likes: its name, and what it says of itself,
prove nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.paths import Layout, make_private_directory
from ..._core.records import read_record, write_record

if TYPE_CHECKING:
    from .session import MariaDBSession


class MadeSchemas:
    """The host's record of the schemas that it has made on one server."""

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder
        self._server = server

    @classmethod
    def of(cls, engine: MariaDBSession) -> MadeSchemas:
        """Return those of a database's server; a plan that is made in a temporary folder reads the lasting one."""
        layout = Layout(Path(engine.job.shipping_makes or engine.job.root))
        return cls(layout.schemas, engine.read_own_identity().server)

    def note(self, schema: str, content: bytes) -> None:
        """Write down, before it is made, that a schema is ours, and what lies in its table of ours."""
        make_private_directory(self._folder)
        facts = {"schema": schema, "digest": _hash_content(content), "ended": False}
        write_record(self._locate_record(schema), facts)

    def is_ours(self, schema: str, content: bytes) -> bool:
        """Return whether a schema that is there is the one that was written down."""
        return bool(self._read_record(schema).get("digest") == _hash_content(content))

    def is_noted(self, schema: str) -> bool:
        """Return whether it was written down at all."""
        return bool(self._read_record(schema))

    def end(self, schema: str) -> None:
        """Write down that a restore has come through: nothing that its schema holds is executed any more."""
        facts = self._read_record(schema)
        if facts:
            write_record(self._locate_record(schema), {**facts, "ended": True})

    def has_ended(self, schema: str) -> bool:
        """Return whether that was written down."""
        return bool(self._read_record(schema).get("ended"))

    def forget(self, schema: str) -> None:
        """Remove what was written down of a schema that was dropped."""
        self._locate_record(schema).unlink(missing_ok=True)

    def locate_file_beside(self, schema: str, suffix: str) -> Path:
        """Return the path of a file for a person, beside what was written down."""
        return self._locate_record(schema).with_suffix(suffix)

    def _locate_record(self, schema: str) -> Path:
        return self._folder / f"{hashlib.sha256(f'{self._server} {schema}'.encode()).hexdigest()[:32]}.json"

    def _read_record(self, schema: str) -> dict[str, Any]:
        try:
            facts = read_record(self._locate_record(schema))
        except (OSError, ValueError):
            return {}
        return facts if facts.get("schema") == schema else {}


def _hash_content(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
