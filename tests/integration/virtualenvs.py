"""Virtualenvs for ``migrate_virtualenv``, made once and kept: building one for each test takes too long."""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.lab import PROJECT, ansible
from tests.lab.shell import CommandFailed, run

CACHE = PROJECT / ".cache" / "virtualenvs"

#: What a customer's requirements may say, by the name of the driver that they need.
PACKAGES = {
    "newest": ["alembic", "sqlalchemy", "psycopg2-binary"],
    "pymysql": ["alembic", "sqlalchemy", "pymysql"],
    "asyncmy": ["alembic", "sqlalchemy[asyncio]", "asyncmy"],
    "aiomysql": ["alembic", "sqlalchemy[asyncio]", "aiomysql"],
    "oldest pymysql": ["alembic==1.8.*", "sqlalchemy==1.4.*", "pymysql"],
    "psycopg": ["alembic", "sqlalchemy", "psycopg[binary]"],
    "asyncpg": ["alembic", "sqlalchemy[asyncio]", "asyncpg", "aiosqlite"],
    "asyncpg and psycopg2": ["alembic", "sqlalchemy[asyncio]", "asyncpg", "psycopg2-binary"],
    "oldest": ["alembic==1.8.*", "sqlalchemy==1.4.*", "psycopg2-binary"],
}


def from_wheelhouse(folder: Path, *packages: str) -> dict[str, Any]:
    """Download wheels into a folder and return the variables by which hosts build their virtualenvs from it."""
    python = ansible.BIN / "python"
    run([python, "-m", "pip", "download", "--quiet", "--dest", folder, *packages])
    return {"migrate_virtualenv": "", "migrate_python": str(python), "migrate_wheelhouse": folder}


def virtualenv(name: str, python: str | Path = sys.executable) -> Path:
    """Return a virtualenv with the packages of that name; half of one is never returned."""
    version = run([str(python), "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]).strip()
    place: Path = CACHE / f"{name}-{version}"
    wanted = "\n".join(PACKAGES[name])
    mark = place / "complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text() != wanted:
            shutil.rmtree(place, ignore_errors=True)
            run([str(python), "-m", "venv", place])
            pip: list[str | Path] = [
                place / "bin" / "python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ]
            run([*pip, "--only-binary=:all:", *PACKAGES[name]], timeout=600)
            mark.write_text(wanted)
    return place


def oldest_python() -> str | None:
    """Return the oldest Python that hosts may have, if this machine has it: by name, or where pyenv keeps it."""
    found = shutil.which("python3.9")
    kept = sorted(Path("~/.pyenv/versions").expanduser().glob("3.9.*/bin/python"), reverse=True)
    candidates = [str(path) for path in kept] + ([found] if found else [])
    for python in candidates:
        try:  # pyenv puts a name on the PATH also where it leads to nothing
            if run([python, "-c", "import sys, venv; print(sys.version_info[:2])"]).strip() == "(3, 9)":
                return python
        except CommandFailed:
            continue
    return None
