# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backups of each database as they lie on the disk. Opens files for reading only, and takes no lock.

``proven`` in manifest.py returns the backups that count. This lists the others as well, with what is wrong with each.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .._core.errors import Failed, Refused
from .._core.paths import Layout, is_run
from .._core.records import LaterFormat, check_format
from .._core.results import BackupFacts, BackupsFacts
from .manifest import COPIES, MANIFEST, Manifest, read_manifest, select_copies

#: How many backups of one database are listed, the newest ones.
MOST = 200

# A manifest names each object of its database; this is enough for several hundred thousand.
_LARGEST = 256 << 20
_OF_OURS = (MANIFEST, COPIES)


def list_backups(root: str, names: Sequence[str]) -> list[BackupsFacts]:
    """Return the backups of each database, the newest first; what cannot be read is None, with the reason."""
    layout = Layout(Path(root))
    return [_list_backups_in(layout.locate_backups(name), name) for name in names]


def _list_backups_in(folder: Path, name: str) -> BackupsFacts:
    try:
        with os.scandir(folder) as entries:
            # A hidden one is a backup that is being made, or copied.
            places = [(_estimate_taken(Path(entry.path)), entry.path) for entry in entries if is_run(entry.name)]
    except FileNotFoundError:
        return {"name": name, "backups": [], "more": 0, "problem": None}
    except OSError as error:
        return {
            "name": name,
            "backups": None,
            "more": 0,
            "problem": _build_unreadable_refusal(folder, _describe_error(error)).as_facts(),
        }
    newest = sorted(places, reverse=True)[:MOST]
    found = [(when, backup) for when, place in newest if (backup := _read_backup(Path(place), name))]
    backups = [backup for _when, backup in sorted(found, key=_read_taken, reverse=True)]
    return {"name": name, "backups": backups, "more": len(places) - len(newest), "problem": None}


def _estimate_taken(place: Path) -> float:
    """Return about when a backup was taken: most runs are named by it. No manifest is opened, it may be large."""
    try:
        return datetime.strptime(f"{place.name[:16]}+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
    except ValueError:
        for path in (place / MANIFEST, place):
            with suppress(OSError):
                return os.lstat(path).st_mtime
    return 0


def _read_taken(found: tuple[float, BackupFacts]) -> tuple[float, str]:
    estimate, backup = found
    return datetime.fromisoformat(backup["taken"]).timestamp() if backup["taken"] else estimate, backup["run"]


def _read_backup(place: Path, name: str) -> BackupFacts | None:
    """Return what is known of one backup, or None where another run has removed it meanwhile."""
    facts = BackupFacts(
        run=place.name,
        path=str(place),
        taken=None,
        age=None,
        size=None,
        revision=None,
        engine=None,
        proven=None,
        sealed=None,
        copies=None,
        problem=None,
    )
    try:
        if not stat.S_ISDIR(os.lstat(place).st_mode):
            raise ValueError("it is not a directory")
        sizes = dict(_list_sizes(place))
        facts["size"] = sum(sizes.values())
        manifest = _read_manifest_at(place)
        _describe_manifest(facts, manifest)
        facts["copies"] = _read_copies(place)
        facts["sealed"] = bool(manifest.sealed)
        damage = _find_damage(manifest, sizes, place, name)
        facts["proven"] = damage is None
        facts["problem"] = damage.as_facts() if damage else None
    except LaterFormat as refusal:
        facts["problem"] = refusal.as_facts()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, FileNotFoundError) and not os.path.lexists(place):
            return None
        facts["problem"] = _build_unreadable_refusal(place, _describe_error(error)).as_facts()
    return facts


def _list_sizes(place: Path, below: str = "") -> Iterator[tuple[str, int]]:
    """Yield the files of a backup with their bytes, but for those that describe it; no link is followed."""
    with os.scandir(place / below) as entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _list_sizes(place, f"{name}/")
            elif entry.is_file(follow_symlinks=False) and name not in _OF_OURS:
                yield name, entry.stat(follow_symlinks=False).st_size


def _read(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a regular file, or not JSON.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as handle:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _LARGEST:
            raise ValueError(f"{path.name} is not a file of at most {_LARGEST >> 20} MB")
        try:
            return json.loads(handle.read().decode("utf-8"))
        except ValueError:
            raise ValueError(f"{path.name} is not JSON") from None


def _read_manifest_at(place: Path) -> Manifest:
    try:
        return read_manifest(check_format(_read(place / MANIFEST), place / MANIFEST))
    except TypeError as error:
        raise ValueError(f"{MANIFEST} is incomplete: {error}") from None


def _describe_manifest(facts: BackupFacts, manifest: Manifest) -> None:
    """Add what a manifest says of when it was taken, and of what; nothing where it cannot be read whole."""
    taken = datetime.fromisoformat(manifest.taken)
    age = (datetime.now(timezone.utc) - taken).total_seconds()
    heads = [str(head) for table in manifest.heads.values() for head in table]
    facts["taken"], facts["age"] = manifest.taken, max(round(age), 0)
    facts["revision"], facts["engine"] = sorted({*heads}), str(manifest.engine)


def _read_copies(place: Path) -> dict[str, str]:
    """Return where copies of a backup are, each with the time that it was made."""
    try:
        record = _read(place / COPIES)
    except FileNotFoundError:
        return {}
    return select_copies(check_format(record, place / COPIES))


def _find_damage(manifest: Manifest, sizes: Mapping[str, int], place: Path, name: str) -> Failed | None:
    """Return what of a backup is not there as its manifest says; the content of its files is not read."""
    why = ""
    if manifest.database != name:
        why = f"its manifest is that of database {manifest.database!r}"
    elif manifest.sealed:
        # What is still plain beside it is removed by the next run.
        if sizes.get(manifest.sealed["file"]) != manifest.sealed["size"]:
            why = f"{manifest.sealed['file']} is missing or has another size"
    else:
        missing = sorted(file for file in manifest.files if file not in sizes)
        if missing:
            why = f"{missing[0]} is missing"
        elif sum(sizes[file] for file in manifest.files) != manifest.size:
            why = f"its files do not have the {manifest.size} bytes that its manifest names"
    return Failed(f"The backup {place} is damaged", why, _TAKE_ANOTHER, code="backup-damaged") if why else None


_TAKE_ANOTHER = "Check the disk, and take another backup"


def _build_unreadable_refusal(path: Path, why: str) -> Refused:
    return Refused(f"The backup {path} could not be read", why, _TAKE_ANOTHER, code="backup-not-readable")


def _describe_error(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{Path(str(error.filename)).name}: {error.strerror}" if error.filename else str(error.strerror)
    return str(error) if isinstance(error, ValueError) else f"{MANIFEST} is not one of this collection"
