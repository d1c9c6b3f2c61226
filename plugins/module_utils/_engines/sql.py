# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words of SQL that all engines write the same way."""

from __future__ import annotations

import functools
import re

_CONSTANT = re.compile(r"""(?:-?[\d.]+|'(?:[^']|'')*'|true|false|null)(?:::[^']+)?""", re.IGNORECASE | re.DOTALL)
#: A parameter as SQLAlchemy finds it in a text.
_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


@functools.lru_cache(maxsize=200)
def convert_statement(statement: str, driver: str, has_parameters: bool) -> str:
    """Return a statement as its driver takes it, from one with the parameters of ``sqlalchemy.text``."""
    if has_parameters and driver == "psycopg2":
        statement = _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%"))
    return statement.replace("\\:", ":")


def quote_name(name: str) -> str:
    """Return an identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'


def qualify_name(table: str) -> str:
    """Return schema.table in quotes; a table may be named alone."""
    return ".".join(map(quote_name, table.rsplit(".", 1)))


def escape_colons(statement: str) -> str:
    """Return a statement without parameters as SQLAlchemy's text has it, where a colon would begin one."""
    return statement.replace(":", "\\:")


def is_constant(default: str | None) -> bool:
    """Return whether a column's default is the same whenever it is taken; no default is none."""
    return default is None or _CONSTANT.fullmatch(default) is not None


def render_value_condition(column: str, default: str | None, differs: str) -> str:
    """Return the condition for a row that has something in a column, other than its constant default.

    Args:
        column: its name.
        default: as the engine's catalog words it.
        differs: compares two values, with ``{}`` in the place of each.
    """
    if default is None or not is_constant(default):
        return f"{quote_name(column)} is not null"
    return f"({quote_name(column)} is not null and {differs.format(quote_name(column), f'({default})')})"
