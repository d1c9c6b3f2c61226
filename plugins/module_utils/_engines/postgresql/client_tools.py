# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pg_dump and pg_restore: finding them, running them, and proving what they wrote."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..._core.errors import CHECK_DISK, CORRECT_IT, Failed
from ..._core.processes import has_ended
from .libpq_options import build_program_options
from .service_file import SERVICE, hand_over_variables, select_service_options, with_service

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from ..._core.url_parts import PlainURL
    from ..interface import Report

_DEBIAN = Path("/usr/lib/postgresql")
_TRANSACTION_TIMEOUT_SINCE = 17
# A schema can be called DATA or CRM, so the kind of an entry does not end where the capitals end. An entry that has an
# object of its own names the catalog it is in, pg_class for a table; what only belongs to one names none.
_TABLE = re.compile(rb"^\d+; 1259 \d+ TABLE ", re.MULTILINE)
_TABLE_DATA = re.compile(rb"^(\d+); 0 \d+ TABLE DATA ", re.MULTILINE)


@dataclass(frozen=True)
class Tools:
    """One installation of PostgreSQL's client programs."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """Return the major version, which may not be below the server's."""
        return int(self.version.partition(".")[0])

    def is_understood_by(self, server: int) -> bool:
        """Return whether a server of a major version understands all that pg_restore says to it by itself."""
        return self.major < _TRANSACTION_TIMEOUT_SINCE or server >= _TRANSACTION_TIMEOUT_SINCE


def find_tools(folder: str, server: int = 0) -> Tools | None:
    """Return the client programs in ``folder`` if it is named, else those of the server's version, else the newest.

    Newer ones than the server write what it does not understand, ``SET transaction_timeout`` for one.
    """
    if folder:
        candidates = [Path(folder)]
    else:
        on_path = shutil.which("pg_dump")
        candidates = [path / "bin" for path in _DEBIAN.glob("*")] + ([Path(on_path).parent] if on_path else [])
    found = [tools for tools in map(_read_tools, candidates) if tools]
    found = [tools for tools in found if tools.major == server] or found
    return max(found, key=lambda tools: [int(part) for part in re.findall(r"\d+", tools.version)], default=None)


def choose_tools(folder: str, database: str, server: int, archive: Path) -> Tools:
    """Return the client programs that can read an archive, those of the server's version if they can.

    Raises:
        Failed: there are none.
    """
    found = find_tools(folder, server)
    if found is not None and not _can_read(found, archive):
        found = find_tools(folder)
    if found is None or not (found.folder / "psql").exists():
        raise Failed(
            f"There is no pg_restore and psql for database {database!r}",
            "",
            "Install postgresql-client",
            code="client-program-missing",
        )
    return found


def _can_read(found: Tools, archive: Path) -> bool:
    command = [str(found.folder / "pg_restore"), "--list", str(archive)]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


@functools.cache
def _read_tools(folder: Path) -> Tools | None:
    if not (folder / "pg_dump").exists() or not (folder / "pg_restore").exists():
        return None
    answer = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\d+(\.\d+)*", answer.stdout)
    return Tools(folder, version[0]) if answer.returncode == 0 and version else None


def build_conninfo(url: URL) -> str:
    """Return a libpq connection string without secrets, which travel in the environment and in a service file."""
    service = f" service='{SERVICE}'" if select_service_options(url) else ""
    return build_manual_conninfo(url) + service


def build_manual_conninfo(url: URL | PlainURL) -> str:
    """Return the same for a person, who is prompted for what is secret."""
    return " ".join(f"{key}='{_escape_value(value)}'" for key, value in build_program_options(url).items())


def _escape_value(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("'", "\\'")


def build_environment(url: URL, application: str) -> dict[str, str]:
    """Return the environment of a client program, whose session writes whatever the database's own settings are."""
    variables = {**os.environ, "PGAPPNAME": application, "LC_MESSAGES": "C"}
    if "options" not in url.query:  # those of a connection string are taken in place of these
        variables["PGOPTIONS"] = f"{os.environ.get('PGOPTIONS', '')} -c default_transaction_read_only=off".strip()
    if url.password is not None:
        variables["PGPASSWORD"] = str(url.password)
    return with_service(url, variables)


def build_plain_environment() -> dict[str, str]:
    """Return the environment of a client program that only reads an archive."""
    return {**os.environ, "LC_MESSAGES": "C"}


def run_tool(command: list[str], variables: dict[str, str], folder: Path, report: Report, doing: str = "") -> str:
    """Run a client program and return its standard output, reporting how much lies in ``folder`` meanwhile.

    What it prints of an archive is in the archive's encoding; bytes that are not UTF-8 stay what they are.

    Raises:
        Failed: it ended with another code than 0; its own words are the reason.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begun = time.monotonic()
        with hand_over_variables(variables) as handed:
            process = subprocess.Popen(
                command, **handed, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, umask=0o077
            )
        try:
            while not has_ended(process, 0.5):
                report((doing or f"{measure_folder(folder):,} bytes dumped") + f" in {time.monotonic() - begun:.0f} s")
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        output.seek(0)
        errors.seek(0)
        if code:
            words = errors.read().decode(errors="replace").strip()
            raise Failed(
                f"{Path(command[0]).name} failed with exit code {code}", words, CORRECT_IT, code="client-program-failed"
            )
        return output.read().decode(errors="surrogateescape")


def measure_folder(folder: Path) -> int:
    """Return the bytes of all files in a folder, also while others come and go in it."""
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def check_archive(listing: str, folder: Path, database: str, tables: int) -> None:
    """Compare an archive's own table of contents with the database and with the files beside it.

    Args:
        listing: what ``pg_restore --list`` printed.
        folder: the directory archive.
        database: the name of the database that was dumped.
        tables: how many tables the catalog had at the snapshot.

    Raises:
        Failed: the archive does not hold what the database held.
    """
    on_one_line = database.translate({10: " ", 13: " "})  # as pg_restore prints names
    if f"dbname: {on_one_line}\n" not in listing:
        raise Failed(
            f"The dump {folder} is not one of {database!r}",
            "its table of contents names another database",
            CHECK_DISK,
            code="dump-invalid",
        )
    entries = listing.encode(errors="surrogateescape")
    dumped = len(_TABLE.findall(entries))
    if dumped != tables:
        raise Failed(
            f"The dump {folder} is not complete",
            f"it holds {dumped} tables and the database {tables}",
            CHECK_DISK,
            code="dump-invalid",
        )
    for number in _TABLE_DATA.findall(entries):
        if not any(folder.glob(f"{number.decode()}.dat*")):
            raise Failed(
                f"The dump {folder} is not complete",
                f"the data of its entry {number.decode()} is missing",
                CHECK_DISK,
                code="dump-invalid",
            )
