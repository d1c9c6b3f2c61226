# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Health checks: what a URL answers and what a statement returns, compared with what was expected."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from .._core.argument_specs import Options
from .._core.errors import Refused, describe_unknown_keys
from .._core.masking import STARS
from .._core.results import Answer

_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Check:
    """One check, of a URL or of a statement."""

    url: str = ""
    status: tuple[int, ...] = (200,)
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    validate_certs: bool = True
    timeout: float = 10
    #: Whether it goes through the web server, which keeps it out while the flag file is up.
    public: bool = False
    sql: str = ""
    #: The rows that the statement has to return.
    expect: tuple[tuple[Any, ...], ...] = ()
    #: Empty: every database of the host.
    database: str = ""

    @classmethod
    def of(cls, entry: Any) -> Check:
        """Make a check from an entry of the inventory.

        Raises:
            Refused: it is none.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(entry, dict) or bool(entry.get("url")) == bool(entry.get("sql")):
            why = "; ".join(filter(None, ["it needs either a url or an sql", describe_unknown_keys(entry, names)]))
            raise Refused(f"{_describe_entry(entry)} is not a health check", why, _EXAMPLE, code="health-check-invalid")
        what = f"The health check {_describe_entry(entry)} cannot be used"
        foreign = set(_OF_SQL if entry.get("url") else _OF_URL)
        unknown = describe_unknown_keys(entry, names - foreign)
        if unknown:
            raise Refused(what, unknown, _EXAMPLE, code="health-check-invalid")
        if entry.get("sql") and "expect" not in entry:
            raise Refused(what, "it does not say what to expect", _EXAMPLE, code="health-check-invalid")
        if entry.get("url") and urlsplit(str(entry["url"])).scheme not in ("http", "https"):
            raise Refused(what, "its url is neither http nor https", _EXAMPLE, code="health-check-invalid")
        if not isinstance(entry.get("public", False), bool):
            raise Refused(what, "public is neither true nor false", _EXAMPLE, code="health-check-invalid")
        facts = dict(entry)
        status = facts.get("status", 200)
        try:
            facts["status"] = tuple(int(each) for each in (status if isinstance(status, (list, tuple)) else [status]))
            facts["timeout"] = float(facts.get("timeout", cls.timeout))
        except (TypeError, ValueError) as error:
            raise Refused(what, str(error), _EXAMPLE, code="health-check-invalid") from error
        facts["expect"] = _as_rows(facts.get("expect", []))
        return cls(**facts)

    @property
    def title(self) -> str:
        """Return what it is called; a query may hold a token."""
        return self.sql or urlsplit(self.url)._replace(query="", fragment="").geturl().replace(
            f"{urlsplit(self.url).netloc.rpartition('@')[0]}@", ""
        )

    def find_url_failure(self) -> str:
        """Query the URL and return what is wrong with its answer, or nothing."""
        context = ssl.create_default_context()
        if not self.validate_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        opener = build_opener(_NoRedirect, ProxyHandler({}), HTTPSHandler(context=context))
        try:
            with opener.open(Request(self.url, headers=self.headers), timeout=self.timeout) as answer:  # noqa: S310 - http only
                return self._describe_mismatch(answer.status, answer.read(_MOST_BYTES))
        except HTTPError as error:
            with error:
                return self._describe_mismatch(error.code, error.read(_MOST_BYTES))
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"no answer: {getattr(error, 'reason', None) or error}"

    def find_rows_failure(self, rows: list[Any]) -> str:
        """Return what is wrong with the rows of the statement, or nothing."""
        found = _as_rows([list(row) for row in rows])
        if [_as_texts(row) for row in found] == [_as_texts(row) for row in self.expect]:
            return ""
        return f"it returned {_format_rows(found)}, expected {_format_rows(self.expect)}"

    def _describe_mismatch(self, status: int, body: bytes) -> str:
        if status not in self.status:
            return f"it answered {status}, expected {' or '.join(map(str, self.status))}"
        if self.text not in body.decode(errors="replace"):
            return f"its answer lacks {self.text!r}"
        return ""


class _NoRedirect(HTTPRedirectHandler):
    """Leave a redirection as the answer that it is."""

    def redirect_request(self, *_: Any) -> None:
        return None


QueryDatabases = Callable[[list[int]], dict[int, str]]


def attend(checks: list[Check], options: Options, query_databases: QueryDatabases) -> Answer:
    """Try what has not passed yet, again and again, for as long as a call may take.

    Args:
        checks: all checks.
        options: ``retries``, ``delay``, ``follow``, and the ``cursor`` of the call before.
        query_databases: returns what is wrong with the statements of some checks, by their numbers.
    """
    cursor = options["cursor"]
    tries = int(cursor.get("tries", 0))
    failing = dict.fromkeys(cursor.get("failing", range(len(checks))), "")
    patience_ends = monotonic() + options["follow"]
    while failing:
        answers_there = query_databases([number for number in failing if checks[number].sql])
        found = {
            **answers_there,
            **{number: checks[number].find_url_failure() for number in failing if checks[number].url},
        }
        failing = {number: found[number] for number in sorted(failing) if found[number]}
        tries += 1
        if not failing or tries > options["retries"]:
            break
        sleep(options["delay"])
        if monotonic() > patience_ends:
            lines = [f"not healthy yet, {checks[number].title}: {why}" for number, why in failing.items()]
            return {"finished": False, "lines": lines, "cursor": {"tries": tries, "failing": list(failing)}}
    results = [
        {"check": check.title, "passed": number not in failing, "why": failing.get(number, "")}
        for number, check in enumerate(checks)
    ]
    return {"finished": True, "lines": [], "cursor": {}, "results": results, "tries": tries}


def find_failing_statements(
    checks: list[Check], numbers: list[int], query: Callable[[list[Answer]], dict[str, Any]]
) -> dict[int, str]:
    """Return what is wrong with the statements of some checks, in the words of the first database that differs."""
    statements = [
        {"number": number, "database": checks[number].database, "sql": checks[number].sql} for number in numbers
    ]
    found = query(statements)
    failures = {}
    for number in numbers:
        answers = found.get(str(number), [])
        wrong = [
            (answer["database"], answer.get("error") or checks[number].find_rows_failure(answer["rows"]))
            for answer in answers
        ]
        reasons = [f"{name}: {why}" for name, why in wrong if why]
        missing = "" if answers else f"there is no database {checks[number].database!r} on this host"
        failures[number] = reasons[0] if reasons else missing
    return failures


def _as_rows(expected: Any) -> tuple[tuple[Any, ...], ...]:
    rows = expected if isinstance(expected, (list, tuple)) else [expected]
    return tuple(tuple(row) if isinstance(row, (list, tuple)) else (row,) for row in rows)


def _as_texts(row: tuple[Any, ...]) -> list[str]:
    """Return values as they can be compared: a command line and a driver know other types than YAML does."""
    return [_as_text(value) for value in row]


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return "null" if value is None else str(value)


def _format_rows(rows: tuple[tuple[Any, ...], ...]) -> str:
    shown = [", ".join(_as_texts(row)) for row in rows[:3]]
    return ("; ".join(shown) or "no row") + (f" and {len(rows) - 3} more rows" if len(rows) > 3 else "")


def _describe_entry(entry: Any) -> str:
    """Describe an entry that may be wrong in any way, without what may be a secret in it."""
    if not isinstance(entry, dict):
        return f"A {type(entry).__name__}"
    if entry.get("sql") or not entry.get("url"):
        return str(entry.get("sql") or sorted(map(str, entry)))
    before, at, rest = str(entry["url"]).rpartition("@")
    begins = before.partition("://")[0] + "://" if "://" in before else ""
    return f"{begins}{STARS}@{rest.partition('?')[0]}" if at else rest.partition("?")[0]


_OF_URL = ("status", "text", "headers", "validate_certs", "timeout", "public")
_OF_SQL = ("expect", "database")
_EXAMPLE = (
    "Write {url: http://127.0.0.1:8000/health, status: 200, text: ok}"
    " or {database: shop, sql: SELECT count(*) FROM users WHERE email IS NULL, expect: 0}"
)
