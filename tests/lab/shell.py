"""Run a command and print its output when it fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandFailed(RuntimeError):
    """A command the lab depends on ended with an error."""


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    text: str | None = None,
    timeout: float = 300,
    cwd: Path | str | None = None,
) -> str:
    """Run ``argv`` and return its standard output; ``env`` is added to the process environment."""
    words = [str(word) for word in argv]
    done = subprocess.run(
        words,
        env={**os.environ, **(env or {})},
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        check=False,
    )
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout
