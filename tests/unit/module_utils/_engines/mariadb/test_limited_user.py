"""What SHOW GRANTS may list of a user whom revisions run as on a copy."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.limited_user import list_other_rights

USAGE = "GRANT USAGE ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*440060BDD875D70B5EC37ECE3B60C1D787003DD8'"
COPIES = r"GRANT ALL PRIVILEGES ON `hosting\_alembic\_rehearsal\_%`.* TO `r`@`%`"


@pytest.mark.parametrize(
    "grants",
    [
        [USAGE],
        [USAGE, COPIES],
        ["GRANT USAGE ON *.* TO `r`@`%` REQUIRE SSL WITH MAX_USER_CONNECTIONS 5", COPIES],
        ["GRANT USAGE ON *.* TO `GRANT OPTION`@`%` IDENTIFIED VIA ed25519 USING 'GRANT OPTION'", COPIES],
        [USAGE, r"GRANT SELECT, LOCK TABLES ON `hosting\_alembic\_rehearsal\_0badcafe\_%`.* TO `r`@`%`"],
    ],
)
def test_a_limited_user(grants: list[str]) -> None:
    assert list_other_rights(grants) == []


@pytest.mark.parametrize(
    "line",
    [
        "GRANT SELECT ON *.* TO `r`@`%`",
        "GRANT USAGE ON *.* TO `r`@`%` WITH GRANT OPTION",
        f"{COPIES} WITH GRANT OPTION",
        "GRANT ALL PRIVILEGES ON `hosting_alembic_rehearsal_%`.* TO `r`@`%`",
        r"GRANT ALL PRIVILEGES ON `hosting\_alembic\_%`.* TO `r`@`%`",
        "GRANT ALL PRIVILEGES ON `shop`.* TO `r`@`%`",
        r"GRANT ALL PRIVILEGES ON `%\_hosting\_alembic\_rehearsal\_%`.* TO `r`@`%`",
        "GRANT SELECT (`id`) ON `shop`.`item` TO `r`@`%`",
        r"GRANT SELECT ON `hosting\_alembic\_rehearsal\_%`.`t` TO `r`@`%`",
        "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `r`@`%`",
        "GRANT PROXY ON `admin`@`%` TO `r`@`%`",
        "GRANT `owners` TO `r`@`%`",
        "SET DEFAULT ROLE `owners` FOR `r`@`%`",
        "GRANT SELECT ON `shop`.* TO PUBLIC",
        "something else",
    ],
)
def test_a_user_who_may_do_more(line: str) -> None:
    assert len(list_other_rights([USAGE, line, COPIES])) == 1


def test_the_hash_of_a_password_is_not_among_what_is_named() -> None:
    (found,) = list_other_rights([USAGE.replace("USAGE", "SUPER")])
    assert found == "GRANT SUPER ON *.*"
