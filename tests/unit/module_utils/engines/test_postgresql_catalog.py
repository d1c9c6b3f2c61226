from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils.engines.postgresql_catalog import normalised


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("check ((price >= (0)::numeric))", "check (price >= 0)"),
        ("default 'a'::character varying", "default 'a'"),
        ("default 'a'::character varying(50)", "default 'a'"),
        ("default now()::timestamp without time zone", "default now()"),
        ("default '{}'::text[]", "default '{}'"),
        ("""default 'x'::"My Type" """, "default 'x'"),
        ("a   b", "a b"),
    ],
)
def test_what_a_restore_renders_differently_is_the_same_line(before: str, after: str) -> None:
    assert normalised(before) == normalised(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [("price > 0", "price >= 0"), ("default 'a'", "default 'b'"), ("valid true", "valid false")],
)
def test_what_differs_stays_different(before: str, after: str) -> None:
    assert normalised(before) != normalised(after)
