"""An owner whose objects are partly another role's: which membership lets him restore them, and which does not."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from tests.codes import refused
from tests.integration.test_restore_postgresql import Customer, make, quiet, server, type_as_superuser
from tests.lab.fixtures import skip_before

__all__ = ["make", "server"]

#: What is short of one that lets a role change what another owns, and give it to that one.
SHORT = {
    "it may not set the role": ("GRANT {other} TO {user} WITH INHERIT TRUE, SET FALSE", 16),
    "it does not inherit": ("GRANT {other} TO {user} WITH INHERIT FALSE, SET TRUE", 16),
    "it administers only": ("GRANT {other} TO {user} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE", 16),
    "it inherits nothing": ("ALTER ROLE {user} NOINHERIT; GRANT {other} TO {user}", 13),
}


@pytest.fixture
def other() -> str:
    return f"other_{secrets.token_hex(3)}"


@pytest.fixture
def shared(make: Callable[..., Customer], other: str) -> Callable[[str], Customer]:
    """A database in which another role owns a table that refers to the owner's."""

    def made(powers: str) -> Customer:
        customer = make(powers, content="CREATE TABLE item (id integer PRIMARY KEY); INSERT INTO item VALUES (1), (2)")
        customer.server.execute(
            f"CREATE ROLE {other}; GRANT CREATE ON SCHEMA public TO {other};"
            f"GRANT REFERENCES, SELECT ON item TO {other}; SET ROLE {other};"
            " CREATE TABLE theirs (id integer PRIMARY KEY, item integer REFERENCES item);"
            f' INSERT INTO theirs VALUES (1, 1); GRANT SELECT ON theirs TO "{customer.user}"',
            customer.name,
        )
        return customer

    return made


@pytest.mark.parametrize("powers", ["CREATEDB", ""])
@pytest.mark.parametrize("short", SHORT)
def test_a_membership_that_is_not_enough_is_refused_with_what_makes_it_one(
    shared: Callable[[str], Customer], other: str, short: str, powers: str
) -> None:
    customer = shared(powers)
    grant, since = SHORT[short]
    skip_before(customer.server, since, "such a membership")
    archive, before = customer.back_up(), customer.dump()
    customer.as_owner("CREATE TABLE half (id integer)")
    customer.server.execute(grant.format(other=other, user=f'"{customer.user}"'))
    with customer.engine() as engine:
        obstacle = engine.choose_restore_method().obstacle
        assert obstacle is not None
        assert other in obstacle.why
        remedy = obstacle.remedy.partition("As a superuser: ")[2]
        rights = find_restorer(engine).find_restore_rights(archive)
        with refused("restore-not-possible", other):
            find_restorer(engine).restore(archive, "r1", quiet, lambda: None)
    assert rights is not None

    if powers:
        customer.server.execute(remedy)
    else:
        type_as_superuser(customer, rights[0])

    customer.restore(archive)
    assert customer.dump() == before


@pytest.mark.exhaustive
@pytest.mark.parametrize("powers", ["CREATEDB", ""])
def test_a_membership_that_is_enough_needs_nothing_else(
    shared: Callable[[str], Customer], other: str, powers: str
) -> None:
    customer = shared(powers)
    archive, before = customer.back_up(), customer.dump()
    customer.server.execute(f'GRANT {other} TO "{customer.user}"')
    customer.as_owner("CREATE TABLE half (id integer)")

    customer.restore(archive)

    assert customer.dump() == before
