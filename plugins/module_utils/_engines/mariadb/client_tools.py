# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""mariadb-dump and mariadb: finding them, and running them with secrets that no other user reads."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._core.errors import CORRECT_IT, Failed
from ..._core.processes import has_ended
from .options import build_client_options, build_option_file
from .versions import parse_version

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from ..._core.url_parts import PlainURL

#: The first is what it is called since 10.5.
_NAMES = {"dump": ("mariadb-dump", "mysqldump"), "client": ("mariadb", "mysql")}
_VERSION = re.compile(r"Distrib ([\d.]+)-MariaDB|from ([\d.]+)-MariaDB")
#: Read behind /dev/fd, and not longer than a pipe holds.
_LONGEST = 32 << 10


@dataclass(frozen=True)
class Tool:
    """One client program."""

    path: Path
    version: str

    @property
    def number(self) -> tuple[int, int]:
        """Return its major and minor version, which may not be below the server's."""
        return parse_version(self.version)


def build_manual_words(url: URL | PlainURL, driver: str) -> list[str]:
    """Return what a person gives a program to connect as the user of a URL; the password is requested.

    Args:
        url: of the database.
        driver: as for ``build_client_options``.
    """
    included = url.query.get("read_default_file")
    words = [f"--defaults-extra-file={included}"] if included else []
    options = {name: value for name, value in build_client_options(url, driver).items() if name != "password"}
    return [*words, *(f"--{name}={value}" for name, value in options.items()), "--password"]


def find_tool(kind: str) -> Tool | None:
    """Return a program of MariaDB, ``dump`` or ``client``; one of MySQL's of the same name is none."""
    for name in _NAMES[kind]:
        found = shutil.which(name)
        tool = _read_tool(Path(found)) if found else None
        if tool:
            return tool
    return None


@functools.cache
def _read_tool(path: Path) -> Tool | None:
    answer = subprocess.run([path, "--no-defaults", "--version"], capture_output=True, text=True, check=False)
    found = _VERSION.search(answer.stdout)
    return Tool(path, found[1] or found[2]) if answer.returncode == 0 and found else None


def find_required_tool(kind: str, database: str) -> Tool:
    """Return a program.

    Raises:
        Failed: there is none.
    """
    found = find_tool(kind)
    if found is None:
        raise Failed(
            f"There is no {_NAMES[kind][0]} for database {database!r}",
            "none was found in PATH",
            "Install mariadb-client on the host",
            code="client-program-missing",
        )
    return found


@contextmanager
def open_option_pipe(url: URL | PlainURL, driver: str) -> Iterator[int]:
    """Yield the descriptor from which a program that is started inside the block reads its option file.

    Raises:
        Failed: a pipe does not hold it.
    """
    options = build_option_file(url, driver).encode()
    if len(options) > _LONGEST:
        raise Failed("No program can be run", "the URL is too long", "Shorten it", code="client-program-failed")
    reading, writing = os.pipe()
    try:
        os.write(writing, options)
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


def run_tool(
    tool: Tool,
    words: list[str],
    url: URL,
    driver: str,
    *,
    output: Any = None,
    source: Any = None,
    report: Callable[[float], None] | None = None,
) -> str:
    """Run a program and return what it prints, as far as ``output`` does not take it.

    Where it connects to, and as whom, it reads from a pipe: neither its command line nor its environment says so, and
    no option file of a user changes what it does.

    Args:
        tool: the program.
        words: what it is given besides.
        url: of the database.
        driver: as for ``build_client_options``.
        output: a file for its standard output.
        source: a file for its standard input.
        report: is called now and then with the seconds since it was started.

    Raises:
        Failed: it ended with another code than 0; its own words are the reason.
    """
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as errors:
        begun = time.monotonic()
        with open_option_pipe(url, driver) as reading:
            process = subprocess.Popen(
                [str(tool.path), f"--defaults-file=/dev/fd/{reading}", *words],
                stdin=source or subprocess.DEVNULL,
                stdout=output or printed,
                stderr=errors,
                pass_fds=(reading,),
                env={**{name: value for name, value in os.environ.items() if name != "MYSQL_PWD"}, "LC_ALL": "C"},
                umask=0o077,
            )
        try:
            while not has_ended(process, 0.5):
                if report:
                    report(time.monotonic() - begun)
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        printed.seek(0)
        errors.seek(0)
        if code:
            words_of_it = errors.read().decode(errors="replace").strip()
            raise Failed(
                f"{tool.path.name} failed with exit code {code}", words_of_it, CORRECT_IT, code="client-program-failed"
            )
        return printed.read().decode(errors="surrogateescape")
