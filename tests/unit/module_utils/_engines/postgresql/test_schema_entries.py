from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.compare import list_changed_names
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.schema_entries import Entry

TABLE = "public.user"


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("TABLE", "user", ""),
        ("COMMENT", "TABLE user", ""),
        ("COMMENT", 'TABLE "user"', ""),
        ("COMMENT", 'COLUMN "user".id', ""),
        ("COMMENT", 'TRIGGER t ON "user"', ""),
        ("ACL", "TABLE user", ""),
        ("CONSTRAINT", "user user_pkey", ""),
        ("DEFAULT", "user id", ""),
        ("INDEX", "i", 'CREATE INDEX i ON public."user" USING btree (id);'),
        ("SEQUENCE OWNED BY", "s", 'ALTER SEQUENCE public.s OWNED BY public."user".id;'),
    ],
)
def test_what_comes_and_goes_with_a_table_belongs_to_it(kind: str, name: str, text: str) -> None:
    assert Entry(kind, "public", name, text).is_of_any([TABLE])


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("TABLE", "users", ""),
        ("COMMENT", "TABLE users", ""),
        ("ACL", "TABLE users", ""),
        ("COMMENT", "COLUMN users.user", ""),
        ("FUNCTION", "f()", 'CREATE FUNCTION public.f() AS $$ select from public."user" $$;'),
        ("VIEW", "v", 'CREATE VIEW public.v AS SELECT id FROM public."user";'),
        (
            "FK CONSTRAINT",
            "posts posts_fkey",
            'ADD CONSTRAINT posts_fkey FOREIGN KEY (id) REFERENCES public."user"(id);',
        ),
        ("INDEX", "i", "CREATE INDEX i ON public.users USING btree (id);"),
    ],
)
def test_what_only_begins_so_or_names_a_table_does_not_belong_to_it(kind: str, name: str, text: str) -> None:
    assert not Entry(kind, "public", name, text).is_of_any([TABLE])


def test_a_schema_may_have_a_point_in_its_name() -> None:
    assert Entry("TABLE", "a.b", "third", "").is_of_any(["a.b.third"])
    assert not Entry("TABLE", "a", "third", "").is_of_any(["a.b.third"])
    assert list_changed_names({'column "a.b".third.id integer', "function public.f integer, text"}) == {
        "a.b.third",
        "public.f",
    }
