# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PgBouncer's console: while a pool is paused, its clients wait and nothing of theirs reaches the database."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .._core.errors import Failed, Refused
from .._core.secrets import NOT_ENCODED, describe_encoding_remedy, strip_user

_HERE = ("localhost", "127.0.0.1", "::1", "")
_PORT = 6432


@dataclass(frozen=True)
class PgBouncer:
    """The console of one PgBouncer, spoken to through psql; the password goes through the environment."""

    url: str
    password: str = field(default="", repr=False)
    pg_bin: str = ""
    #: Seconds that transactions under way get to end.
    timeout: float = 60

    @property
    def place(self) -> tuple[str, int]:
        """Return where it listens."""
        return parse_place(self.url)

    def read_databases(self) -> dict[str, bool]:
        """Return each of its databases with whether it is paused.

        Raises:
            Refused: it does not answer.
        """
        lines = [line.split("\t") for line in self._execute("SHOW DATABASES").splitlines() if line]
        heading = lines[0]
        rows = [dict(zip(heading, line)) for line in lines[1:] if len(line) == len(heading)]
        return {row["name"]: row["paused"] == "1" for row in rows if row["name"] != "pgbouncer"}

    def pause(self, name: str) -> None:
        """Let the transactions of a pool end, and no further one begin.

        Raises:
            Failed: they did not end in time; then the pool goes on as before.
        """
        try:
            self._execute(f"PAUSE {_quote_name(name)}", self.timeout)
        except subprocess.TimeoutExpired:
            if self.read_databases().get(name):
                self.resume(name)
            why = f"something is under way in it for longer than {self.timeout:.0f} s"
            raise Failed(
                f"PgBouncer could not pause {name}",
                why,
                "Stop what uses it: migrate_services",
                code="pgbouncer-pause-timeout",
            ) from None

    def resume(self, name: str) -> None:
        """Let a pool go on.

        Raises:
            Failed: it does not.
        """
        self._execute(f"RESUME {_quote_name(name)}")

    def _execute(self, command: str, timeout: float = 20) -> str:
        program = str(Path(self.pg_bin) / "psql") if self.pg_bin else "psql"
        words = [program, "--no-psqlrc", "--no-align", "--no-password", "--field-separator=\t", "--pset=footer=off"]
        try:
            done = subprocess.run(
                [*words, "--command", command],
                env={**os.environ, **self._build_environment()},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except OSError as error:
            raise Failed(
                f"{program} cannot be run",
                str(error.strerror),
                "Install it, or set migrate_pg_bin",
                code="client-program-missing",
            ) from error
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            remedy = "migrate_pgbouncer_url has to lead to its console, as one of its admin_users"
            raise Failed(f"PgBouncer refused {command}", message, remedy, code="pgbouncer-failed")
        return done.stdout.decode(errors="replace")

    def _build_environment(self) -> dict[str, str]:
        parts = urlsplit(self.url)
        host, port = self.place
        password = self.password or unquote(parts.password or "")
        known = {
            "PGHOST": parse_qs(parts.query).get("host", [host])[0],
            "PGPORT": str(port),
            "PGUSER": unquote(parts.username or ""),
            "PGPASSWORD": password,
            "PGDATABASE": "pgbouncer",
            "PGCONNECT_TIMEOUT": "10",
            "PGOPTIONS": "",
        }
        return {name: value for name, value in known.items() if value or name == "PGOPTIONS"}


def strip_password(url: str) -> str:
    """Return a URL that may be written down."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")
    user = netloc[0].split(":", 1)[0]
    return parts._replace(netloc=f"{user}@{netloc[2]}" if user else netloc[2], query="").geturl()


def parse_place(url: str, port: int = _PORT) -> tuple[str, int]:
    """Return the host and the port of a URL; all the names of this machine are one.

    Raises:
        Refused: it cannot be read.
    """
    try:
        parts = urlsplit(strip_user(url))
        host, number = parts.hostname or "", parts.port
    except ValueError:  # its text would repeat a part of the URL, which may be one of a password
        raise Refused(
            "A URL cannot be read",
            f"the port behind its host is not a number, or a bracket is not closed; {NOT_ENCODED}",
            "Correct migrate_pgbouncer_url, or the URL of the database. "
            + describe_encoding_remedy("migrate_pgbouncer_password"),
            code="url-invalid",
        ) from None
    return ("localhost" if host in _HERE else host), number or port


def list_pools(entries: list[dict[str, Any]], console: PgBouncer, wanted: list[str]) -> list[str]:
    """Return the pools that lead to some databases.

    Args:
        entries: the databases, as the inventory names them.
        console: the console.
        wanted: names of pools; empty for those that the databases' URLs name.

    Raises:
        Refused: a migration would go through the paused pool itself, or none is known.
    """
    for entry in entries:
        if parse_place(entry.get("direct_url") or entry["url"], 5432) == console.place:
            raise Refused(
                f"Database {entry['name']!r} would be migrated through PgBouncer, which is to be paused",
                f"its URL leads to {console.place[0]}:{console.place[1]}",
                "Give it a direct_url that leads to the server itself",
                code="migrates-through-pgbouncer",
            )
    known = console.read_databases()
    named = wanted or [unquote(urlsplit(strip_user(entry["url"])).path.lstrip("/")) for entry in entries]
    missing = [name for name in wanted if name not in known]
    pools = [name for name in dict.fromkeys(named) if name in known]
    if missing or not pools:
        raise Refused(
            f"PgBouncer does not know {', '.join(missing or named)}",
            f"it has {', '.join(sorted(known)) or 'no databases'}",
            "Name its databases in migrate_pgbouncer_databases",
            code="pgbouncer-database-unknown",
        )
    return pools


def _quote_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
