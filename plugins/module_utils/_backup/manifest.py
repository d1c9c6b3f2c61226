# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests of backups: what each says of itself, and whether its files still are what it says.

To read backups only this file is needed, and nothing of what makes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import Failed, Refused
from .._core.paths import hash_file
from .._core.records import LaterFormat, check_format, read_record, select_known_facts, write_record
from . import encryption

if TYPE_CHECKING:
    from .._engines.data import Archive

MANIFEST = "manifest.json"

#: The record of the copies of a backup, beside its manifest.
COPIES = "copies.json"

#: What to do about a backup that is damaged.
USE_ANOTHER = "Check the disk, and use another backup, or a copy of this one"

#: A line of a fingerprint about a table that has no rows of its own.
_ROWLESS = re.compile(r"(?:partitioned|foreign) table (.+?) owner ", re.DOTALL)
#: A name that SQLite reserves for tables of its own; a server's tables are named with their schema.
_RESERVED = re.compile(r"sqlite_[^.]*")


@dataclass
class Manifest:
    """The manifest of a backup. Sizes are bytes, times are seconds or ISO 8601 in UTC."""

    database: str
    run: str
    taken: str
    engine: str
    server: str
    identity: str
    tool: str
    dump: str
    heads: dict[str, list[str]]
    size: int
    seconds: float
    files: dict[str, str]
    fingerprint: list[str]
    row_counts: dict[str, int] | None
    activity: dict[str, Any] = field(default_factory=dict)
    #: The encrypted archive of the files, if there is one: tool, file, sha256, size.
    sealed: dict[str, Any] = field(default_factory=dict)
    path: str = ""

    def as_archive(self) -> Archive:
        """Return what a restore needs of it."""
        # Engines import SQLAlchemy, which is not needed to read manifests.
        from .._engines.data import Archive  # noqa: PLC0415

        tables = frozenset(self.heads)
        digest = self.files.get(self.dump, "")
        return Archive(Path(self.path) / self.dump, self.fingerprint, self.row_counts, tables, self.activity, digest)

    def is_of(self, run: str, path: str) -> bool:
        """Return whether it is of a run and lies at a path; an empty word means any."""
        return run in ("", self.run) and path in ("", self.path)

    def as_facts(self) -> dict[str, Any]:
        """Return what a result shows: all but the long lists."""
        shown = asdict(self)
        for key in ("files", "fingerprint", "row_counts", "activity"):
            shown.pop(key)
        return shown


def list_proven(folder: Path) -> list[Manifest]:
    """Return the manifests of a database's backups, the newest first; what has no manifest does not count."""
    manifests = []
    for path in folder.glob(f"*/{MANIFEST}"):
        try:
            manifest = read_manifest(read_record(path))
        except (OSError, ValueError, TypeError, LaterFormat):
            continue  # unreadable, or it lacks something: nothing here may count it, or remove it
        manifest.path = str(path.parent)
        manifests.append(manifest)
    return sorted(manifests, key=lambda manifest: manifest.taken, reverse=True)


def read_manifest(facts: Any) -> Manifest:
    """Return a manifest from its facts; what another version has added to it is left out.

    Raises:
        LaterFormat: a later version has written it in a format of its own.
        TypeError, ValueError: it lacks something, or is not a manifest.
    """
    manifest = Manifest(**select_known_facts(Manifest, check_format(facts, "The manifest")))
    if "sequences" in manifest.activity:  # as it was called before there were formats
        manifest.activity.setdefault("sequence_uses", manifest.activity.pop("sequences"))
    if manifest.row_counts:
        # An early manifest counts them, and nothing does now: their rows are those of others.
        rowless = {found[1].replace('"', "") for found in map(_ROWLESS.match, manifest.fingerprint) if found}
        counted = {name for name in manifest.row_counts if name not in rowless and not _RESERVED.fullmatch(name)}
        manifest.row_counts = {name: count for name, count in manifest.row_counts.items() if name in counted}
    return manifest


def select_copies(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return from the record of a backup's copies where they are, each with the time that it was made.

    Raises:
        ValueError: it is not such a record.
    """
    found = facts.get("copies") if "format" in facts else facts  # before there were formats it held nothing else
    if not isinstance(found, Mapping):
        raise ValueError(f"{COPIES} has no copies")  # noqa: TRY004 - what JSON is, is a value
    return {str(to): str(made) for to, made in found.items()}


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest of a backup into its folder."""
    write_record(folder / MANIFEST, vars(manifest), indent=1)


def check_sealed(manifest: Manifest) -> None:
    """Compare a backup's encrypted archive with its manifest.

    Raises:
        Failed: it is missing or has changed.
    """
    path = Path(manifest.path) / manifest.sealed["file"]
    whole = path.is_file() and path.stat().st_size == manifest.sealed["size"]
    if not whole or hash_file(path) != manifest.sealed["sha256"]:
        raise Failed(
            f"The backup {manifest.path} is damaged",
            f"{path.name} is not what its manifest says",
            USE_ANOTHER,
            code="backup-damaged",
        )


def parse_taken_time(manifest: Manifest) -> float:
    """Return when a backup was taken, in seconds since the epoch."""
    return datetime.fromisoformat(manifest.taken).timestamp()


def check(manifest: Manifest, *, content: bool = True) -> None:
    """Compare a backup's files with its manifest.

    Args:
        manifest: of the backup.
        content: whether to read them; else only that they are there.

    Raises:
        Refused: it is encrypted, and only a person with the private key can open it.
        Failed: one is missing or has changed.
    """
    folder = Path(manifest.path)
    if manifest.sealed and not any((folder / name).exists() for name in manifest.files):
        command = encryption.build_opening_command(manifest.sealed["tool"], folder / manifest.sealed["file"])
        raise Refused(
            f"The backup {manifest.path} is encrypted",
            "this host has no key that opens it",
            f"With the private key: {command} . Then run the same command again;"
            " the next run removes the plain files again",
            code="backup-encrypted",
        )
    for name, expected in manifest.files.items():
        path = Path(manifest.path) / name
        if not path.is_file() or (content and hash_file(path) != expected):
            why = f"{name} is not what its manifest says"
            raise Failed(f"The backup {manifest.path} is damaged", why, USE_ANOTHER, code="backup-damaged")
