# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encryption of backups for a public key; the process that holds the private one opens them, and no host does.

A backup is sealed while it is made: all its files become one archive beside them, encrypted, and read back from the
disk. The plain files stay as long as the revert of their run may need them, and go once it was verified or reverted.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .._core.errors import CHECK_DISK, Failed, Refused
from .._core.paths import hash_file

_OPTION = "migrate_backup_encrypt_to"
_ARMOURED = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_SECRETS = (b"AGE-SECRET-KEY-", b"PRIVATE KEY")
_PACKAGES = {"age": "age", "gpg": "gnupg"}
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Recipient:
    """The key that can open what is sealed: the tool, and its arguments that name the public key."""

    tool: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Sealed:
    """The encrypted archive of a backup; the sha256 and the size are those of the ciphertext."""

    tool: str
    file: str
    sha256: str
    size: int

    def as_facts(self) -> dict[str, Any]:
        """Return what a manifest keeps."""
        return {"tool": self.tool, "file": self.file, "sha256": self.sha256, "size": self.size}


@functools.cache
def read_recipient(to: str) -> Recipient:
    """Return who is meant: an age recipient, a file of age recipients, or a file with an OpenPGP public key.

    Raises:
        Refused: it is none of these, it holds a private key, its tool is missing, or the tool does not take it.
    """
    named = to.startswith(("age1", "ssh-"))
    recipient = Recipient("age", ("--recipient", to)) if named else _of_file(Path(to))
    if shutil.which(recipient.tool) is None:
        raise Refused(
            f"Backups cannot be encrypted, because this host has no {recipient.tool}",
            f"{_OPTION} requires it",
            f"Install it: apt-get install {_PACKAGES[recipient.tool]}",
            code="encryption-not-possible",
        )
    with _open_command(recipient) as command:
        tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if tried.returncode or not tried.stdout:
        message = tried.stderr.decode(errors="replace").strip()
        raise Refused(
            f"Backups cannot be encrypted to {_OPTION}",
            message,
            "Name a public key that can encrypt",
            code="encryption-not-possible",
        )
    return recipient


def _of_file(path: Path) -> Recipient:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused(
            "The public key that backups are encrypted to cannot be read",
            f"{_OPTION}: {error}",
            "Put it on the host, or name an age recipient (age1…)",
            code="encryption-not-possible",
        ) from error
    if any(secret in content for secret in _SECRETS):
        raise Refused(
            f"{path} holds a private key",
            "with it, an attacker on the host opens every backup",
            "Keep it elsewhere and leave only the public key on the host",
            code="private-key-given",
        )
    if content.startswith(_ARMOURED) or content[:1] >= b"\x80":
        return Recipient("gpg", ("--recipient-file", str(path)))
    return Recipient("age", ("--recipients-file", str(path)))


def seal(folder: Path, names: Sequence[str], to: str) -> Sealed:
    """Encrypt some files of a folder into one archive there, and prove what the disk holds of it.

    Raises:
        Refused: as ``read_recipient``.
        Failed: it could not be written, or reads back differently.
    """
    recipient = read_recipient(to)
    target = folder / f"backup.tar.{recipient.tool}"
    beside = target.with_name(f".{target.name}.writing")
    try:
        plain, written, size = _encrypt(folder, names, recipient, beside)
        found = hash_file(beside)
        if found != written or size <= plain or beside.stat().st_size != size:
            raise Failed(
                f"The encrypted backup {target} is damaged",
                "it reads back differently than it was written",
                CHECK_DISK,
                code="encryption-failed",
            )
        os.rename(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    return Sealed(recipient.tool, target.name, written, size)


def _encrypt(folder: Path, names: Sequence[str], recipient: Recipient, target: Path) -> tuple[int, str, int]:
    """Send an archive through the tool; return the bytes that went in, and the sha256 and bytes that came out."""
    answers: list[tuple[str, int]] = []
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out, tempfile.TemporaryFile() as errors, _open_command(recipient) as command:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        reader = threading.Thread(target=lambda: answers.append(_drain(process.stdout, out)))
        reader.start()
        try:
            plain = _send(folder, names, process.stdin)
        except BrokenPipeError:
            plain = -1  # the tool gave up, and its exit code and its words say why
        finally:
            reader.join()
            code = process.wait()
        out.flush()
        os.fsync(out.fileno())
        errors.seek(0)
        if code or plain < 0 or not answers:
            message = errors.read().decode(errors="replace").strip() or "what it wrote could not be kept"
            raise Failed(
                f"{recipient.tool} could not encrypt the backup in {folder}",
                message,
                f"Check {_OPTION}",
                code="encryption-failed",
            )
    digest, size = answers[0]
    if size < 0:
        raise Failed(
            f"The encrypted backup in {folder} could not be written",
            "",
            f"Free disk space at {folder.parent}",
            code="encryption-failed",
        )
    return plain, digest, size


def _send(folder: Path, names: Sequence[str], pipe: IO[bytes] | None) -> int:
    if pipe is None:
        return -1
    with pipe, tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            archive.add(folder / name, name, recursive=False)
    return sum((folder / name).stat().st_size for name in names)


def _drain(pipe: IO[bytes] | None, out: IO[bytes]) -> tuple[str, int]:
    """Keep what comes, as far as the disk lets; the tool must not wait for a reader that has given up."""
    digest, size = hashlib.sha256(), 0
    broken = False
    while pipe is not None and (chunk := pipe.read(_CHUNK)):
        digest.update(chunk)
        size += len(chunk)
        try:
            out.write(b"" if broken else chunk)
        except OSError:
            broken = True
    return digest.hexdigest(), -1 if broken else size


@contextmanager
def _open_command(recipient: Recipient) -> Iterator[list[str]]:
    """Yield the command that encrypts its standard input; GnuPG gets a home of its own, and no keyring of the user."""
    if recipient.tool == "age":
        yield ["age", "--encrypt", *recipient.arguments]
        return
    with tempfile.TemporaryDirectory(prefix="hosting.alembic-") as home:
        quiet = ["--homedir", home, "--batch", "--quiet", "--no-autostart", "--trust-model", "always"]
        yield ["gpg", *quiet, "--compress-algo", "none", *recipient.arguments, "--encrypt"]


def build_opening_command(tool: str, archive: Path) -> str:
    """Return the command that a holder of the private key types to have the plain files beside the archive again."""
    opened = "age --decrypt --identity KEYFILE" if tool == "age" else "gpg --decrypt"
    return f"{opened} {shlex.quote(str(archive))} | tar --extract --directory {shlex.quote(str(archive.parent))}"
