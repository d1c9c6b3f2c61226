# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schemas of a database that an entry means: all of them, or the one that it names.

Each session that works for an entry with a schema has its name in a setting of our own, which the queries of the
catalogs read: so they mean the same in whichever session they are executed. Any role may set one whose name has a dot
("Customized Options" in PostgreSQL's manual).
"""

from __future__ import annotations

from ..sql import quote_name

#: Schemas that restores have left. Those of earlier versions have other names, and belong to the database since.
_RETAINED = "alembic_aside_*"
SETTING = "hosting_alembic.schema"
_NAMED = f"(select cast(nullif(current_setting('{SETTING}', true), '') as name))"

#: By this name a connection of ours knows that it works for one schema.
IS_OF_SCHEMA = "hosting_alembic_of_schema"
#: Has a session work for one schema, or for all if it is empty.
SET_SCHEMA = f"select set_config('{SETTING}', :schema, false)"

#: Whether the session works for all schemas of its database.
WHOLE = f"({_NAMED} is null)"


def match_scope(schema: str = "n.nspname") -> str:
    """Return the condition that a schema is one that the session works for.

    Args:
        schema: its name, in SQL.
    """
    return f"coalesce({_NAMED}, {schema}) = {schema}"


def build_scope_setting(schema: str) -> str:
    """Return the statement that has a session work for one schema, nothing for all of them."""
    escaped = schema.replace("\\", "\\\\").replace("'", "\\'")
    return f"set {SETTING} = E'{escaped}';" if schema else ""


def render_schema_options(schema: str) -> list[str]:
    """Return the words by which pg_dump dumps one schema, whatever its name, or all but what restores have left."""
    return [f"--schema={quote_name(schema)}" if schema else f"--exclude-schema={_RETAINED}"]
