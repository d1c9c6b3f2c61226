"""Which grants are meant for a database, by the server's own words."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.privileges import (
    FOR_BACKUP,
    parse_privileges,
    select_missing,
)


@pytest.mark.parametrize(
    ("where", "schema", "is_meant"),
    [
        ("*.*", "app", True),
        ("`app`.*", "app", True),
        ("`app`.*", "app2", False),
        (r"`my\_app`.*", "my_app", True),
        (r"`my\_app`.*", "myxapp", False),
        ("`my_app`.*", "myxapp", True),
        ("`app%`.*", "app_of_3", True),
        ("`a``b`.*", "a`b", True),
        ("`app`.`t`", "app", False),
    ],
)
def test_a_grant_is_meant_for_the_databases_that_its_pattern_matches(where: str, schema: str, is_meant: bool) -> None:
    assert parse_privileges(schema, [f"GRANT SELECT, INSERT ON {where} TO `u`@`%`"]) == (
        {"SELECT", "INSERT"} if is_meant else set()
    )


def test_what_is_granted_adds_up_and_a_list_of_columns_is_left_out() -> None:
    grants = ["GRANT SELECT, SHOW VIEW ON `app`.* TO `u`@`%`", "GRANT TRIGGER ON *.* TO `r`", "GRANT `r` TO `u`@`%`"]
    assert select_missing(parse_privileges("app", grants), FOR_BACKUP) == ["EVENT"]
    assert select_missing(parse_privileges("app", ["GRANT ALL PRIVILEGES ON `app`.* TO `u`@`%`"]), FOR_BACKUP) == []
    assert select_missing(parse_privileges("other", grants), FOR_BACKUP) == ["SELECT", "SHOW VIEW", "EVENT"]
