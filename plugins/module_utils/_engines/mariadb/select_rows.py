# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a statement, read by the client mariadb, in a session that can only read."""

from __future__ import annotations

import html
import os
import re
from dataclasses import replace
from typing import Any

from ..._core.bounded import read_output
from ..._core.errors import Failed
from ..._core.url_parts import parse_plain_url
from .client_tools import find_tool, open_option_pipe

_CONNECT_TIMEOUT = 10  # seconds
_WHAT = "The statement that lists the databases failed"
#: In a session that only reads nothing is written, whatever the statement is. Behind it comes one whose row shows that
#: the client has not taken that for a part of it, as where a quote or a comment is open.
_QUERY = """\
set session max_statement_time = {seconds:.3f}, lock_wait_timeout = {whole_seconds};
set session transaction read only;
start transaction read only;
select * from (
{statement}
) as found limit {most};
select 'hosting.alembic' as at_last;
"""
_ANSWERS = 2
_AT_LAST = [{"at_last": "hosting.alembic"}]
#: The parts of an answer. In names and values, < and " and & are escaped, and nothing else is: a parser of XML would
#: take a carriage return for a line feed.
_BEGINS, _ROW = b'<?xml version="1.0"?>', b"<row>"
_ANSWER = re.compile(
    rb'\s*<resultset statement="[^"<]*" xmlns:xsi="[^"<]*">'
    rb'((?:\s*<row>(?:\s*<field name="[^"<]*"(?: xsi:nil="true" />|>[^<]*</field>))*\s*</row>)*)\s*</resultset>\s*'
)
_FIELD = re.compile(rb'<field name="([^"<]*)"(?:( xsi:nil="true" />)|>([^<]*)</field>)')
#: A driver that has none in its URL.
_DRIVER = "pymysql"


def select_rows(
    url: str, password: str | None, statement: str, *, folder: str, seconds: float, most: int, largest: int
) -> list[dict[str, Any]]:
    """Return the rows of one statement, each value as text.

    Raises:
        Failed: the client is not there, the server cannot be reached, or the statement failed or took too long.
    """
    del folder  # of programs of PostgreSQL
    tool = find_tool("client")
    if tool is None:
        raise Failed(_WHAT, "there is no mariadb on this host", "Install mariadb-client", code="client-program-missing")
    address = parse_plain_url(url)
    if password is not None:
        address = replace(address, password=password)
    driver = url.partition(":")[0].partition("+")[2] or _DRIVER
    script = _QUERY.format(
        seconds=seconds,
        whole_seconds=max(int(seconds), 1),
        statement=statement.strip().rstrip(";"),
        most=most,
    )
    with open_option_pipe(address, driver) as options:
        # A server that requests a local file gets none, and no line of the statement is a command of the client.
        printed = read_output(
            [str(tool.path), f"--defaults-file=/dev/fd/{options}", "--xml", "--binary-mode", "--skip-local-infile",
             "--default-character-set=utf8mb4", f"--connect-timeout={_CONNECT_TIMEOUT}",
             f"--database={address.database or ''}"],
            _WHAT,
            text=script,
            variables={**_remove_options(os.environ), "LC_ALL": "C"},
            seconds=seconds + _CONNECT_TIMEOUT,
            most=largest,
            descriptors=(options,),
        )  # fmt: skip
    return _parse_answers(printed)


def _remove_options(variables: Any) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.startswith(("MYSQL_", "MARIADB_"))}


def _parse_answers(printed: bytes) -> list[dict[str, Any]]:
    """Return the rows of the first of two answers, of which the other is our own.

    Raises:
        Failed: there are more or fewer, or one is not understood.
    """
    nothing, *answers = printed.split(_BEGINS)
    found = [match and _parse_rows(match[1]) for match in map(_ANSWER.fullmatch, answers)]
    if nothing or len(found) != _ANSWERS or found[0] is None or found[1] != _AT_LAST:
        raise Failed(_WHAT, "mariadb printed what is not a row", "Write it as one SELECT", code="statement-failed")
    return found[0]


def _parse_rows(text: bytes) -> list[dict[str, Any]]:
    return [
        {
            _unescape_text(name): None if is_null else _unescape_text(value)
            for name, is_null, value in _FIELD.findall(row)
        }
        for row in text.split(_ROW)[1:]
    ]


def _unescape_text(escaped: bytes) -> str:
    return html.unescape(escaped.decode(errors="surrogateescape"))
