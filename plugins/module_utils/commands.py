# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands of the people who run the hosts: a list of words with placeholders, no shell, judged by the exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import Failed, Refused

_MOST_WORDS = 2000  # characters of what a command said


def filled(command: Sequence[str], placeholders: dict[str, str]) -> list[str]:
    """Return the words of a command with its placeholders filled in; braces that mean nothing here stay."""
    words = []
    for word in command:
        for name, value in placeholders.items():
            word = word.replace(f"{{{name}}}", value)  # noqa: PLW2901
        words.append(word)
    return words


def run_command(
    command: Sequence[str], placeholders: dict[str, str], variables: dict[str, str], what: str, remedy: str
) -> None:
    """Run a command and wait for it.

    Args:
        command: its words.
        placeholders: what stands for ``{name}`` in them.
        variables: environment variables on top of this process's own; a secret belongs there.
        what: what is said to have failed.
        remedy: what to do then.

    Raises:
        Failed: it ended with another code than 0, or could not be started.
    """
    words = filled(command, placeholders)
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            umask=0o077,
        )
    except OSError as error:
        raise Failed(what, f"{words[0]}: {error.strerror}", remedy) from error
    if done.returncode:
        said = _without(done.stdout.decode(errors="replace").strip()[-_MOST_WORDS:], variables)
        raise Failed(what, f"{words[0]} ended with exit code {done.returncode}: {said or 'it said nothing'}", remedy)


def missing_program(command: Sequence[str], option: str) -> list[Refused]:
    """Return an obstacle if a command is named whose program is not there."""
    if not command or shutil.which(command[0]):
        return []
    return [
        Refused(
            f"There is no program {command[0]!r} on this host",
            f"{option} names it",
            "Install it, or give its whole path",
        )
    ]


def program_of(command: Sequence[str]) -> str:
    """Return a command's program without its folder."""
    return Path(command[0]).name


def _without(text: str, variables: dict[str, str]) -> str:
    """Blank the secrets that a command was given and printed all the same."""
    for name, value in variables.items():
        if "PASSWORD" in name and value:
            text = text.replace(value, "********")
    return text
