# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs and statements whose output is read, and which are trusted neither to end nor to print little."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .commands import read_last_words
from .errors import CORRECT_IT, Failed
from .run_as import User

_PIECE = 1 << 16
_LONGEST_KEY = 80


class KeyTwice(Exception):
    """A name that a row has twice, so that nothing says which of the values is meant; its text is that name."""


def refuse_repeated_keys(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a row of its names and values.

    Raises:
        KeyTwice: a name is there twice.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise KeyTwice(repr(key)[:_LONGEST_KEY])
        found[key] = value
    return found


def read_output(
    words: Sequence[str],
    what: str,
    *,
    text: str = "",
    variables: Mapping[str, str] | None = None,
    user: User | None = None,
    seconds: float,
    most: int,
    descriptors: Sequence[int] = (),
) -> bytes:
    """Run a program and return what it prints.

    Args:
        words: its command.
        what: what has failed, for the message.
        text: its standard input.
        variables: its whole environment; by default that of this process.
        user: whom it runs as; by default the user of this process.
        seconds: after which it is killed with all that it started.
        most: bytes that it may print.
        descriptors: that it inherits, besides those of its standard files.

    Raises:
        Failed: it could not be started, ended with another code than 0 or not in time, or printed more.
    """
    options: dict[str, Any] = {}
    if user is not None:
        options = {"user": user.uid, "group": user.gid, "extra_groups": list(user.groups)}
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(text.encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(words), env=None if variables is None else dict(variables), stdin=given, stdout=subprocess.PIPE,
                stderr=errors, cwd="/", umask=0o077, start_new_session=True,
                pass_fds=tuple(descriptors), **options,
            )  # fmt: skip
        except OSError as error:
            raise Failed(what, f"{words[0]}: {error.strerror}", "Correct the command", code="command-failed") from error
        try:
            content, code = _read(process, what, words[0], seconds, most)
        finally:
            # The group keeps its number for as long as a process is in it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()
        if code:
            why = f"{words[0]} ended with exit code {code}: {read_last_words(errors, dict(variables or {}))}"
            raise Failed(what, why, CORRECT_IT, code="command-failed")
    return content


def _read(process: subprocess.Popen[bytes], what: str, program: str, seconds: float, most: int) -> tuple[bytes, int]:
    deadline = time.monotonic() + seconds
    content = bytearray()
    descriptor = process.stdout.fileno() if process.stdout else -1
    late = Failed(
        what,
        f"{program} had not ended after {seconds:g} s",
        "Make it faster, or raise `timeout`",
        code="command-timeout",
    )
    while True:
        if not select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise late
        piece = os.read(descriptor, _PIECE)
        if not piece:
            break
        content += piece
        if len(content) > most:
            raise Failed(
                what, f"{program} printed more than {most:,} bytes", "Have it print less", code="command-failed"
            )
    try:
        return bytes(content), process.wait(max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        raise late from None
