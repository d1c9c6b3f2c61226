# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of databases, tables and triggers in a catalog, compared as the server distinguishes them.

The columns of a catalog have a collation that knows neither capitals nor accents, so there ``app`` is ``APP``, and
``cafe`` is ``café``. For the server these are two databases, unless ``lower_case_table_names`` takes the capitals away.
"""

from __future__ import annotations


def match_name(column: str, value: str) -> str:
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


#: What a restore loads, or has replaced, in the database itself: nothing of it belongs to the application.
OUR_PREFIX = "hosting_alembic_(new_[0-9a-f]{6}|old_[0-9]{14,15})"
_OURS = f"^{OUR_PREFIX}_(state|[a-z0-9_]{{0,8}}_[0-9a-f]{{10}})$"


def is_ours(column: str) -> str:
    """Return the condition that a column has the name of a table of ours."""
    return f"binary {column} rlike '{_OURS}'"


OURS = is_ours("table_name")
#: What is in a database, by the parameter ``schema``.
IN_SCHEMA = match_name("table_schema", ":schema")
#: The same without what is ours.
TABLE_IS_IN_SCHEMA = f"({IN_SCHEMA} and not {OURS})"
#: What is in the database that the connection uses, without what is ours.
TABLE_IS_HERE = f"({match_name('table_schema', 'database()')} and not {OURS})"
ROUTINE_IS_IN_SCHEMA = match_name("routine_schema", ":schema")
EVENT_IS_IN_SCHEMA = match_name("event_schema", ":schema")
#: Triggers too: what one makes on each table of a database, also on what is ours, is none of the application's.
TRIGGER_IS_IN_SCHEMA = f"({match_name('trigger_schema', ':schema')} and not {is_ours('event_object_table')})"
TRIGGER_IS_HERE = f"({match_name('trigger_schema', 'database()')} and not {is_ours('event_object_table')})"
SCHEMA_IS_NAMED = match_name("schema_name", ":schema")
REFERS_TO_SCHEMA = match_name("referenced_table_schema", ":schema")
