# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The differences between a database and the models in words, as Alembic's autogenerate finds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .alembic_import import MigrationContext

_ONLY_IN_MODELS = "only the models have {}"
_ONLY_IN_DATABASE = "only the database has {}"


def list_differences(context: MigrationContext) -> list[str]:
    """Return the differences between a database and the ``target_metadata`` of its env.py."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - it takes time, and only a rehearsal wants it

    return list(_describe(compare_metadata(context, context.opts["target_metadata"])))


def _describe(found: Any) -> Iterator[str]:
    for difference in found:
        if isinstance(difference, list):  # all that was modified of one column
            yield from map(_describe_modified, difference)
            continue
        kind, *facts = difference
        verb, _underscore, what = kind.partition("_")
        where = _ONLY_IN_MODELS if verb == "add" else _ONLY_IN_DATABASE
        if what == "column":
            schema, table, column = facts
            yield where.format(f"column {_qualify_name(schema, table)}.{column.name}")
        elif verb in ("add", "remove"):
            yield where.format(f"{what.replace('_', ' ')} {_name_thing(facts[0])}")
        else:
            yield f"{kind.replace('_', ' ')} {_name_thing(facts[0])}"


def _describe_modified(difference: Any) -> str:
    kind, schema, table, column, _facts, old, new = difference
    what = kind.replace("modify_", "")
    return (
        f"{what} of column {_qualify_name(schema, table)}.{column} is {old!r} in the database and {new!r} in the models"
    )


def _name_thing(thing: Any) -> str:
    table = getattr(thing, "table", None)
    name = getattr(thing, "name", None) or "without a name"
    if table is None:
        return _qualify_name(getattr(thing, "schema", None), str(name))
    return f"{name} on {_qualify_name(table.schema, table.name)}"


def _qualify_name(schema: str | None, name: str) -> str:
    return f"{schema}.{name}" if schema else name
