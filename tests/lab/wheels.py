"""Wheels for hosts without a package index, downloaded once for the Python of the test hosts."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from . import CACHE
from .lock_file import lock_file
from .shell import run

HOST_PYTHON = "3.11"
# Debian 12 has glibc 2.36; pip requires each tag by name.
GLIBC = ["2_34", "2_28", "2_17"]


def wheelhouse(requirements: Path | Iterable[str], python: str = HOST_PYTHON) -> Path:
    """Return a folder with the wheels of ``requirements`` and of all they need; made once per content."""
    text = requirements.read_text() if isinstance(requirements, Path) else "\n".join(requirements) + "\n"
    digest = hashlib.sha256(f"{python}\n{text}".encode()).hexdigest()[:16]
    ready = CACHE / "wheels" / digest
    with lock_file(f"wheels-{digest}"):
        if not ready.is_dir():
            _download(text, python, ready)
    return ready


def _download(text: str, python: str, ready: Path) -> None:
    partial = ready.with_name(f"{ready.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    wanted = partial / "requirements.txt"
    wanted.write_text(text)
    platforms = [f"--platform=manylinux_{glibc}_{platform.machine()}" for glibc in GLIBC]
    run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", f"--python-version={python}",
         *platforms, f"--dest={partial}", f"--requirement={wanted}"]
    )  # fmt: skip
    wanted.unlink()
    partial.rename(ready)
