"""Lines as servers of two versions have given them, before and after a load of the dump.

What whole databases give on each version, and after which changes: tests/integration/test_server_upgraded.py.
"""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.older_server import (
    convert_fingerprint,
)

VIEW = "view public.w owner o acl o=arwdDxt/o options rls ff as SELECT {}"
TABLE = "table public.t owner o acl {} options rls ff"
COLUMN = "column public.t.a integer null f default identity generated collation"
PUBLIC_14 = "schema public owner postgres acl =UC/postgres,postgres=UC/postgres,r=U/postgres"
PUBLIC_15 = (
    "schema public owner pg_database_owner"
    " acl =U/pg_database_owner,pg_database_owner=UC/pg_database_owner,r=U/pg_database_owner"
)
CUT = '"an inordinately long name of a t_an inordinately lo_not_null"'


def server(version: int) -> str:
    return f"server {version} of postgres"


SAME = {
    "the server itself": (15, [], 18, []),
    "the owner's MAINTAIN": (16, [TABLE.format("o=arwdDxt/o")], 17, [TABLE.format("o=arwdDxtm/o")]),
    "all of another": (16, [TABLE.format("o=arwdDxt/o,r=a*r*w*d*D*x*t*/o")], 17,
                       [TABLE.format("o=arwdDxtm/o,r=a*r*w*d*D*x*t*m*/o")]),
    "no privileges": (16, ["table public.t owner o acl options rls ff"], 17, [TABLE.format("o=m/o")]),
    "NOT NULL": (17, [COLUMN], 18, [COLUMN, "constraint public.t.t_a_not_null NOT NULL a validated t"]),
    "NOT NULL under a name that was taken": (
        17, [COLUMN], 18, [COLUMN, "constraint public.t.t_a_not_null1 NOT NULL a validated t"]
    ),
    "NOT NULL of the parent": (
        17, [TABLE.format("o=arwdDxtm/o")], 18,
        [TABLE.format("o=arwdDxtm/o"), "constraint public.heir.t_a_not_null NOT NULL a validated t"],
    ),
    "NOT NULL of a domain": (16, [], 17, ["constraint public.d.d_not_null NOT NULL validated t"]),
    "a view": (15, [VIEW.format("t.a FROM public.t;")], 16, [VIEW.format("a FROM public.t;")]),
    "a view of a table in a schema of its name": (
        15, [VIEW.format("t.a,'t.a' AS l FROM t.t;")], 16, [VIEW.format("a,'t.a' AS l FROM t.t;")]
    ),
    "public": (14, [PUBLIC_14], 15, [PUBLIC_15]),
    "what no dump has": (15, ["index CREATE INDEX i ON public.t USING btree a valid f ready t"], 18, []),
}  # fmt: skip

OTHER = {
    "MAINTAIN of one who had not all": (16, [TABLE.format("o=arwdDxt/o,r=r/o")], 17,
                                        [TABLE.format("o=arwdDxtm/o,r=rm/o")]),
    "what the owner lost": (16, [TABLE.format("o=arwdDxt/o")], 17, [TABLE.format("o=arwdDxm/o")]),
    "another owner": (16, [TABLE.format("o=arwdDxt/o")], 17,
                      ["table public.t owner p acl p=arwdDxtm/p options rls ff"]),
    "a name of NOT NULL": (17, [COLUMN], 18, [COLUMN, "constraint public.t.named NOT NULL a validated t"]),
    "the name of another column": (17, [COLUMN], 18,
                                   [COLUMN, "constraint public.t.t_b_not_null NOT NULL a validated t"]),
    "NOT NULL that is not validated": (
        17, [COLUMN], 18, [COLUMN, "constraint public.t.t_a_not_null NOT NULL a NOT VALID validated f"]
    ),
    "NOT NULL without heirs": (
        17, [COLUMN], 18, [COLUMN, "constraint public.t.t_a_not_null NOT NULL a NO INHERIT validated t"]
    ),
    "a name of NOT NULL that none has cut": (17, [], 18, [f"constraint public.t.{CUT} NOT NULL a validated t"]),
    "another column of a view": (15, [VIEW.format("t.a FROM public.t;")], 16, [VIEW.format("b FROM public.t;")]),
    "another relation of a view": (15, [VIEW.format("t.a FROM public.t;")], 16, [VIEW.format("a FROM public.u;")]),
    "another of two relations": (
        15, [VIEW.format("t.a FROM public.t JOIN public.u USING a;")], 16,
        [VIEW.format("u.a FROM public.t JOIN public.u USING a;")],
    ),
    "a literal of a view": (15, [VIEW.format("'t.a' AS l FROM public.t;")], 16,
                            [VIEW.format("'a' AS l FROM public.t;")]),
    "a function of another schema": (
        15, ["routine t.f owner o", VIEW.format("t.f AS l FROM t.t;")], 16,
        ["routine t.f owner o", VIEW.format("f AS l FROM t.t;")],
    ),
    "public that was another's": (14, [PUBLIC_14.replace("postgres", "o")], 15, [PUBLIC_15]),
    "public with one grant less": (14, [PUBLIC_14], 15, [PUBLIC_15.rpartition(",")[0]]),
    "an index that is valid by now": (
        15, ["index CREATE INDEX i ON public.t USING btree a valid f ready t"], 18,
        ["index CREATE INDEX i ON public.t USING btree a valid t ready t"],
    ),
    "what came with an older version": (18, [], 18, ["constraint public.t.t_a_not_null NOT NULL a validated t"]),
    "MAINTAIN on one version": (17, [TABLE.format("o=arwdDxt/o")], 17, [TABLE.format("o=arwdDxtm/o")]),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_what_the_load_of_a_dump_gives_is_the_same(case: str) -> None:
    old, before, new, now = SAME[case]
    assert convert_fingerprint([*before, server(old)], [*now, server(new)]) == sorted([*before, server(old)])


@pytest.mark.parametrize("case", OTHER)
def test_a_change_is_a_difference(case: str) -> None:
    old, before, new, now = OTHER[case]
    assert convert_fingerprint([*before, server(old)], [*now, server(new)]) != sorted([*before, server(old)])


@pytest.mark.parametrize("case", [case for case in SAME if case not in ("public", "what no dump has")])
def test_an_early_fingerprint_does_not_name_its_server(case: str) -> None:
    _old, before, new, now = SAME[case]
    assert convert_fingerprint(before, [*now, server(new)]) == sorted(before)


def test_an_early_fingerprint_of_this_server_has_what_came_with_it() -> None:
    before = [COLUMN, "constraint public.t.t_a_not_null NOT NULL a validated t", TABLE.format("o=arwdDxtm/o")]
    index = "index CREATE INDEX i ON public.t USING btree a valid f ready t"

    assert convert_fingerprint(before, [*before, server(18)]) == sorted(before)
    assert convert_fingerprint([*before, index], [*before, server(18)]) == sorted(before)
    assert convert_fingerprint(before, [COLUMN, TABLE.format("o=arwdDxt/o"), server(18)]) != sorted(before)
