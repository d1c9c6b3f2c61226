from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.rendering import normalise_line


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
        (
            "CHECK (((status)::text = ANY ((ARRAY['new'::character varying, 'paid'::character varying])::text[])))",
            "CHECK (((status)::text = ANY (ARRAY[('new'::varchar)::text, ('paid'::character varying)::text])))",
        ),
        ("x = ANY ((ARRAY['a'::bpchar, 'b'::bpchar])::text[])", "x = ANY (ARRAY[('a'::bpchar)::text, 'b'::bpchar])"),
        ("default now()::timestamp(3) with time zone", "default now()"),
        ("""default 'x'::"Our schema"."My ""Type"[] """, "default 'x'"),
    ],
)
def test_what_a_restore_renders_differently_is_the_same_line(before: str, after: str) -> None:
    assert normalise_line(before) == normalise_line(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("price > 0", "price >= 0"),
        ("default 'a'", "default 'b'"),
        ("valid true", "valid false"),
        ("default '(a)'", "default 'a'"),
        ("default '::text'", "default ''"),
        ("default 'a  b'", "default 'a b'"),
        ("in ('a', 'b')", "in ('a, b')"),
    ],
)
def test_what_differs_stays_different(before: str, after: str) -> None:
    assert normalise_line(before) != normalise_line(after)
