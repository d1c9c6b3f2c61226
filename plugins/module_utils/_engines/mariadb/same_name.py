# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of databases, tables and triggers in a catalog, compared as the server distinguishes them.

The columns of a catalog have a collation that knows neither capitals nor accents, so there ``app`` is ``APP``, and
``cafe`` is ``café``. For the server these are two databases, unless ``lower_case_table_names`` takes the capitals away.
"""

from __future__ import annotations


def same_name(column: str, value: str) -> str:
    """Return the condition that a column has a name.

    Args:
        column: of a catalog.
        value: an expression, as ``database()`` or ``:schema``.
    """
    name = f"convert({value} using utf8)"
    # By the first comparison the server opens nothing but what it is about.
    return (
        f"({column} = {value} and if(@@lower_case_table_names = 0,"
        f" binary {column} = {name}, binary lower({column}) = lower({name})))"
    )


#: What is in the database that the connection uses, by the column that says so.
TABLE_IS_HERE = same_name("table_schema", "database()")
#: What is in another one, by the parameter ``schema``.
TABLE_IS_IN_SCHEMA = same_name("table_schema", ":schema")
ROUTINE_IS_IN_SCHEMA = same_name("routine_schema", ":schema")
EVENT_IS_IN_SCHEMA = same_name("event_schema", ":schema")
TRIGGER_IS_IN_SCHEMA = same_name("trigger_schema", ":schema")
SCHEMA_IS_NAMED = same_name("schema_name", ":schema")
REFERS_TO_SCHEMA = same_name("referenced_table_schema", ":schema")
