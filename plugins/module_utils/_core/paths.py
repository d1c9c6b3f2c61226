# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The paths below ``migrate_root`` on a host. Everything is readable by its owner only."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .access_list import remove_lists
from .errors import Refused

INI = "alembic.ini"

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def build_key(name: str) -> str:
    """Return a directory name for any database name: itself if plain, else a slug with a digest."""
    if _PLAIN.fullmatch(name):
        return name
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "database"
    return f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def check_run_id(run: str) -> str:
    """Return the run id unchanged if it can be a file name.

    Raises:
        Refused: it could not.
    """
    if not is_run(run):
        raise Refused(
            f"The run id {run!r} cannot be used",
            "it becomes a file name",
            "Use letters, digits, dots, dashes and underscores, 64 at most",
            code="run-id-invalid",
        )
    return run


def is_run(name: str) -> bool:
    """Return whether a name has the form of a run id."""
    return bool(_RUN.fullmatch(name))


def make_private_directory(path: Path) -> Path:
    """Make a directory (and its parents) that only its owner can read, and return it.

    Raises:
        Refused: a link or a file is there; a planted link must not redirect the data.
    """
    if not path.parent.exists():
        make_private_directory(path.parent)  # a mode is given to the last folder only
    try:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            _remove_lists(path)
    except NotADirectoryError as error:
        raise Refused(
            f"{path} cannot be made",
            "a file is where a folder above it would be",
            f"Type `ls -ld {path.parent}`, and remove the file or choose another place",
            code="directory-not-usable",
        ) from error
    except OSError as error:  # for root, access() does not report what a mounted or a full file system refuses
        raise Refused(
            f"{path} cannot be made",
            f"{error.strerror}",
            f"Type `df {path.parent}`, and free disk space there or set migrate_root to another folder",
            code="directory-not-usable",
        ) from error
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise Refused(
            f"{path} is not a directory",
            "a link or a file is in its place",
            "Remove it and run again",
            code="directory-not-usable",
        )
    return path


def _remove_lists(path: Path) -> None:
    """Take the access control lists from a folder that was just made: what is made in it would be others' to write."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        remove_lists(descriptor)
    finally:
        os.close(descriptor)


def find_unused_path(path: Path) -> Path:
    """Return a path that nothing has yet: a retained copy is never replaced."""
    others = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([path], others) if not candidate.exists())


def write_durably(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside, flushed to disk, renamed into place (mode 0600)."""
    write_bytes_durably(path, text.encode())


def write_bytes_durably(path: Path, content: bytes) -> None:
    """Write a file as ``write_durably`` does."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(beside, path)
    except OSError:  # a full disk; what was written until then would keep it full
        with suppress(OSError):
            beside.unlink()
        raise
    sync(path.parent)


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Let one process at a time do something, by the lock on a file that is made for it."""
    with _hold_lock(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)):
        yield


@contextmanager
def lock_folder(path: Path) -> Iterator[int]:
    """Let one process at a time do something, by the lock on a folder that is there; yield its descriptor."""
    with _hold_lock(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)) as descriptor:
        yield descriptor


@contextmanager
def _hold_lock(descriptor: int) -> Iterator[int]:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock on an open file or folder if no other process has it, and return whether that was so.

    Args:
        descriptor: of the file; the lock lives until each copy of it is closed.
        shared: let others do the same at once: who only checks whether a worker lives must not be taken for one.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync(path: Path) -> None:
    """Flush a file, or a directory's entries, to disk, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> str:
    """Return the digest of a file's content, however large it is."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Layout:
    """The folders below one root."""

    root: Path

    @property
    def releases(self) -> Path:
        """Hold one folder a release, and the link ``current``."""
        return self.root / "releases"

    @property
    def current(self) -> Path:
        """Lead to the release that was shipped last; a link."""
        return self.releases / "current"

    @property
    def virtualenvs(self) -> Path:
        """Hold one virtualenv for each digest of what is installed."""
        return self.root / "virtualenvs"

    @property
    def wheelhouses(self) -> Path:
        """Hold shipped wheels, one folder a digest."""
        return self.root / "wheelhouses"

    @property
    def code(self) -> Path:
        """Hold our own code, one archive a digest, and what each Python has compiled of it."""
        return self.root / "code"

    @property
    def backups(self) -> Path:
        """Hold one folder a database, and in it one folder a backup."""
        return self.root / "backups"

    @property
    def journals(self) -> Path:
        """Hold one folder a database, and in it one file a run and the record of what was verified last."""
        return self.root / "journals"

    @property
    def workers(self) -> Path:
        """Hold the files that running workers keep locked."""
        return self.root / "workers"

    @property
    def schemas(self) -> Path:
        """Hold what was written down of each schema that was made beside a database of MariaDB."""
        return self.root / "schemas"

    @property
    def discovered(self) -> Path:
        """Hold the lists of databases that were found: one for each run, and the last one of each source."""
        return self.root / "discovered"

    def locate_scratches(self, database: str) -> Path:
        """Return the folder of the copies on which a database is rehearsed; each is removed at the end."""
        return self.root / "scratches" / build_key(database)

    def locate_current(self, database: str) -> Path:
        """Lead to the release that was shipped last for one database; a link."""
        return self.releases / ".of" / build_key(database)

    def release(self, digest: str) -> Path:
        """Return the folder of one release."""
        return self.releases / digest

    def locate_backups(self, database: str) -> Path:
        """Return the folder of a database's backups."""
        return self.backups / build_key(database)

    def locate_partial_backup(self, database: str, run: str) -> Path:
        """Return the folder of a run's backup that is not proven yet."""
        return self.locate_backups(database) / f".{check_run_id(run)}.partial"

    def locate_journals(self, database: str) -> Path:
        """Return the folder of a database's journals."""
        return self.journals / build_key(database)

    def locate_journal(self, database: str, run: str) -> Path:
        """Return the journal of one run on one database.

        Raises:
            Refused: the run id cannot be a file name.
        """
        return self.locate_journals(database) / f"{check_run_id(run)}.jsonl"

    def locate_rehearsal(self, database: str, run: str) -> Path:
        """Return the journal of a rehearsal, which does not describe the database itself.

        Raises:
            Refused: the run id cannot be a file name.
        """
        return self.locate_journals(database) / "rehearsals" / f"{check_run_id(run)}.jsonl"

    def prune_journal(self, database: str) -> Path:
        """Return where it is written down which retained copies of a database were dropped."""
        return self.locate_journals(database) / "pruned" / "pruned.jsonl"

    def locate_worker(self, run: str, verb: str) -> Path:
        """Return the file whose lock says that the worker of a run's verb is alive.

        Raises:
            Refused: the run id cannot be a file name.
        """
        return self.workers / f"{check_run_id(run)}.{verb}"
