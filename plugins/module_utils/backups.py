# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups: a dump plus a manifest, written beside and renamed into place once proven."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import sealing
from .errors import REPLACED_NOTHING, Failed, Refused
from .job import Job
from .journal import not_before
from .layout import private_directory, sha256_of, sync, write_durably

if TYPE_CHECKING:
    from .engines.base import Engine, Tell
    from .engines.data import Archive

MANIFEST = "manifest.json"

#: A line of a fingerprint about a table that has no rows of its own.
_ROWLESS = re.compile(r"(?:partitioned|foreign) table (.+?) owner ", re.DOTALL)


@dataclass
class Manifest:
    """What a backup says of itself. Sizes are bytes, times are seconds or ISO 8601 in UTC."""

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

    def archive(self) -> Archive:
        """Return what a restore needs of it."""
        # Engines import SQLAlchemy, which whoever only reads manifests can do without.
        from .engines.data import Archive  # noqa: PLC0415

        tables = frozenset(self.heads)
        digest = self.files.get(self.dump, "")
        return Archive(Path(self.path) / self.dump, self.fingerprint, self.row_counts, tables, self.activity, digest)

    def answers_to(self, run: str, path: str) -> bool:
        """Tell whether it is of a run and lies at a path; an empty word asks for any."""
        return run in ("", self.run) and path in ("", self.path)

    def facts(self) -> dict[str, Any]:
        """Return what a result shows: all but the long lists."""
        shown = asdict(self)
        for key in ("files", "fingerprint", "row_counts", "activity"):
            shown.pop(key)
        return shown


def take(engine: Engine, heads: dict[str, list[str]], job: Job, tell: Tell) -> Manifest:
    """Back a database up and return the manifest of the proven backup.

    Args:
        engine: the database's engine.
        heads: where it stands.
        job: names the run, the folders and the tools' options.
        tell: is called with how far the dump is.

    Raises:
        Failed: the dump failed or could not be proven; nothing of it is left. Or it could not be copied off the host,
            where it has to be: then it lies here and does not count.
        Refused: the server cannot be reached, or what was asked of the backup cannot be done here.
    """
    # They build on what stands here.
    from . import by_command  # noqa: PLC0415
    from .backup_options import obstacles  # noqa: PLC0415
    from .copies import copy_off  # noqa: PLC0415

    for obstacle in obstacles(job):
        raise obstacle
    place = private_directory(job.layout.backups_of(engine.database.name)) / job.run
    beside = job.layout.partial_backup(engine.database.name, job.run)
    _clear(place.parent, beside, everything=bool(job.backup_encrypt_to))
    private_directory(beside)
    begun = time.monotonic()
    try:
        own = engine.own() if engine.exists() else None
        small = own is not None and own.run(engine.size) <= job.row_counts_limit
        by_hand = job.backup_command and own is not None
        dump = by_command.dump(engine, beside, tell, job.run) if by_hand else engine.dump(beside, small, tell)
        manifest = Manifest(
            database=engine.database.name,
            run=job.run,
            # The newest is the one that is never removed, and the one that is restored.
            taken=not_before(max((each.taken for each in proven(place.parent)), default="")),
            engine=engine.name,
            server=own.run(engine.describe) if own else "not there yet",
            identity=str(engine.own_identity()),
            tool=dump.tool,
            dump=str(dump.path.relative_to(beside)),
            heads=heads,
            size=sum(path.stat().st_size for path in _files(beside)),
            files={str(path.relative_to(beside)): sha256_of(path) for path in _files(beside)},
            fingerprint=own.run(engine.fingerprint, frozenset(heads)) if own else [],
            row_counts=dump.row_counts,
            activity=dump.activity,
            # The last, so that the proof counts.
            seconds=round(time.monotonic() - begun, 3),
        )
        if job.backup_encrypt_to and manifest.files:
            tell("encrypts")
            manifest.sealed = sealing.seal(beside, sorted(manifest.files), job.backup_encrypt_to).facts()
        _write(manifest, beside)
        shutil.rmtree(place, ignore_errors=True)
        os.rename(beside, place)
    except OSError as error:
        raise Failed(
            f"The backup of {engine.database.name!r} could not be written",
            str(error),
            f"Make room at {place.parent}; nothing of the database was changed",
            code="backup-failed",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync(place.parent)
    manifest.path = str(place)
    copy_off(manifest, job, tell)
    return manifest


def proven(folder: Path) -> list[Manifest]:
    """Return the manifests of a database's backups, the newest first; what has no manifest does not count."""
    manifests = []
    for path in folder.glob(f"*/{MANIFEST}"):
        try:
            manifest = read_manifest(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue  # unreadable, or it lacks something: nothing here may count it, or remove it
        manifest.path = str(path.parent)
        manifests.append(manifest)
    return sorted(manifests, key=lambda manifest: manifest.taken, reverse=True)


def read_manifest(facts: Any) -> Manifest:
    """Return a manifest from its facts; what another version has added to it is left out.

    Raises:
        TypeError: it lacks something, or is not a manifest.
    """
    if not isinstance(facts, dict):
        raise TypeError("a manifest is a mapping")
    known = {each.name for each in fields(Manifest)}
    manifest = Manifest(**{key: value for key, value in facts.items() if key in known})
    if manifest.row_counts:
        # An early manifest counts them, and nothing does now: their rows are those of others.
        rowless = {found[1].replace('"', "") for found in map(_ROWLESS.match, manifest.fingerprint) if found}
        manifest.row_counts = {name: count for name, count in manifest.row_counts.items() if name not in rowless}
    return manifest


def _clear(folder: Path, beside: Path, *, everything: bool) -> None:
    """Remove what this run left before; where backups are encrypted, also what others left in plain and unproven.

    The lock on the database is held, so nobody writes a backup of it now.
    """
    for path in folder.glob(".*.partial") if everything else [beside]:
        shutil.rmtree(path, ignore_errors=True)


def _write(manifest: Manifest, folder: Path) -> None:
    write_durably(folder / MANIFEST, json.dumps(asdict(manifest), indent=1))


def seal(manifest: Manifest, to: str) -> None:
    """Encrypt the files of a proven backup beside them.

    Raises:
        Refused: it cannot be encrypted to this recipient.
        Failed: the backup is damaged, or could not be encrypted.
    """
    check(manifest)
    folder = Path(manifest.path)
    manifest.sealed = sealing.seal(folder, sorted(manifest.files), to).facts()
    _write(manifest, folder)


def remove_plain(manifest: Manifest) -> None:
    """Remove the plain files of a backup whose encrypted archive is whole.

    Raises:
        Failed: the archive is damaged; the plain files stay.
    """
    folder = Path(manifest.path)
    there = [folder / name for name in manifest.files if (folder / name).exists()]
    if not there:
        return
    check_sealed(manifest)
    for path in there:
        path.unlink()
    for path in sorted({path.parent for path in there} - {folder}, reverse=True):
        with suppress(OSError):  # somebody has put something else there
            path.rmdir()
    sync(folder)


def check_sealed(manifest: Manifest) -> None:
    """Compare a backup's encrypted archive with its manifest.

    Raises:
        Failed: it is missing or has changed.
    """
    path = Path(manifest.path) / manifest.sealed["file"]
    whole = path.is_file() and path.stat().st_size == manifest.sealed["size"]
    if not whole or sha256_of(path) != manifest.sealed["sha256"]:
        raise Failed(
            f"The backup {manifest.path} is damaged",
            f"{path.name} is not what its manifest says",
            code="backup-damaged",
        )


def taken_at(manifest: Manifest) -> float:
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
        command = sealing.opening_command(manifest.sealed["tool"], folder / manifest.sealed["file"])
        raise Refused(
            f"The backup {manifest.path} is encrypted",
            "this host has no key that opens it",
            f"With the private key: {command} . Then ask again; the next run removes the plain files again",
            code="backup-encrypted",
        )
    for name, expected in manifest.files.items():
        path = Path(manifest.path) / name
        if not path.is_file() or (content and sha256_of(path) != expected):
            why = f"{name} is not what its manifest says"
            raise Failed(f"The backup {manifest.path} is damaged", why, code=REPLACED_NOTHING)


def prune(folder: Path, keep: int, keep_days: int, needed: frozenset[str] = frozenset()) -> list[str]:
    """Remove backups beyond a number or an age, never the newest nor one that a way back needs; return their paths."""
    oldest = (datetime.now(timezone.utc) - timedelta(days=keep_days)).isoformat()
    removed = []
    for index, manifest in enumerate(proven(folder)):
        surplus = index >= keep or manifest.taken < oldest
        if index and surplus and manifest.run not in needed:
            shutil.rmtree(manifest.path)
            removed.append(manifest.path)
    return removed


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
