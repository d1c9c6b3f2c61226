# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands of the people who run the hosts: a list of words with placeholders, no shell, judged by the exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from .errors import Failed, Refused

_MOST_WORDS = 2000  # characters of a command's output
_TO_CLEAN_UP = 5  # seconds that a command has after the signal to end


def fill_placeholders(command: Sequence[str], placeholders: dict[str, str]) -> list[str]:
    """Return the words of a command with its placeholders filled in; braces that mean nothing here stay."""
    words = []
    for word in command:
        for name, value in placeholders.items():
            word = word.replace(f"{{{name}}}", value)  # noqa: PLW2901
        words.append(word)
    return words


def run_command(
    command: Sequence[str],
    placeholders: dict[str, str],
    variables: dict[str, str],
    what: str,
    remedy: str,
    patience: float = 0,
) -> None:
    """Run a command and wait for it.

    Args:
        command: its words.
        placeholders: what replaces ``{name}`` in them.
        variables: environment variables on top of this process's own; a secret belongs there.
        what: what has failed, for the message.
        remedy: what to do then.
        patience: seconds after which it is ended with all that it started; 0 for never.

    Raises:
        Failed: it ended with another code than 0 or not at all, or could not be started.
    """
    words = fill_placeholders(command, placeholders)
    # Not a pipe: what it leaves running may keep that open for ever.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                words,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=0o077,
                start_new_session=True,
            )
        except OSError as error:
            raise Failed(what, f"{words[0]}: {error.strerror}", remedy, code="command-failed") from error
        try:
            code = process.wait(patience or None)
        except BaseException as error:
            _end(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            why = f"{words[0]} had not ended after {patience:g} s, and was ended with all that it had started"
            raise Failed(
                what,
                f"{why}: {read_last_words(output, variables)}",
                f"{remedy}; or raise {_PATIENCE}",
                code="command-timeout",
            ) from None
        if code:
            raise Failed(
                what,
                f"{words[0]} ended with exit code {code}: {read_last_words(output, variables)}",
                remedy,
                code="command-failed",
            )


_PATIENCE = "migrate_command_timeout"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Send a command and all that it started the signal to end, and kill what does not."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TO_CLEAN_UP)
    # The group keeps its number for as long as a process is in it.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_last_words(output: IO[bytes], variables: dict[str, str]) -> str:
    """Return the last words of a command, without the secrets among its variables."""
    output.seek(max(output.seek(0, os.SEEK_END) - 4 * _MOST_WORDS, 0))
    text = output.read().decode(errors="replace").strip()
    return _mask_secrets(text, variables)[-_MOST_WORDS:] or "it printed nothing"


def list_missing_program(command: Sequence[str], option: str) -> list[Refused]:
    """Return an obstacle if a command is named whose program is not there."""
    if not command or shutil.which(command[0]):
        return []
    return [
        Refused(
            f"There is no program {command[0]!r} on this host",
            f"{option} names it",
            "Install it, or give its whole path",
            code="program-missing",
        )
    ]


def name_program(command: Sequence[str]) -> str:
    """Return a command's program without its folder."""
    return Path(command[0]).name


def _mask_secrets(text: str, variables: dict[str, str]) -> str:
    """Blank the secrets that a command was given and printed all the same."""
    for name, value in variables.items():
        if "PASSWORD" in name and value:
            text = text.replace(value, "********")
    return text
