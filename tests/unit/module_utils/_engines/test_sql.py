"""Words of SQL, and what a catalog says of a default."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.sql import (
    is_constant,
    qualify_name,
    render_value_condition,
)


@pytest.mark.parametrize(
    "default",
    [
        None, "0", "-1", "1.5", "'none'", "'it''s'", "''", "true", "FALSE", "NULL",
        "'none'::character varying", "'-1'::integer", "'{}'::jsonb", "NULL::numeric(10,2)", "'a\nb'::text",
    ],
)  # fmt: skip
def test_a_constant_default(default: str | None) -> None:
    assert is_constant(default)


@pytest.mark.parametrize(
    "default",
    ["CURRENT_TIMESTAMP", "now()", "nextval('t_id_seq'::regclass)", "'a'::text || 'b'::text", '"word"', "datetime()"],
)
def test_a_default_that_differs_from_time_to_time(default: str) -> None:
    assert not is_constant(default)
    assert render_value_condition("a", default, "{} is not {}") == '"a" is not null'


def test_what_is_in_a_column_other_than_its_default() -> None:
    assert render_value_condition("a", None, "{} is not {}") == '"a" is not null'
    assert render_value_condition('a"b', "0", "{} is not {}") == '("a""b" is not null and "a""b" is not (0))'


def test_a_qualified_name() -> None:
    assert qualify_name("public.item") == '"public"."item"'
