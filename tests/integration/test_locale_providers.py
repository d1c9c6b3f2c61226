"""Databases whose locale is of another provider than the cluster's: whatever makes one anew gives it the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_rehearser, find_restorer
from tests.integration.test_restore_postgresql import Customer, quiet, type_as_superuser
from tests.lab.postgres import PostgresServer, newest_bin
from tests.lab.shell import CommandFailed, run

_LIBC = ("--locale=C.UTF-8",)
_ICU = (*_LIBC, "--locale-provider=icu", "--icu-locale=de")
_BUILTIN = (*_LIBC, "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_RULES = " ICU_RULES '&a < g; &c\n< ''k'''"


@dataclass(frozen=True)
class Kind:
    """What a cluster and a database in it are made with, and since when there is such a database."""

    cluster: tuple[str, ...]
    options: str
    since: int = 15


KINDS = {
    "libc in a cluster of ICU": Kind(_ICU, "LOCALE_PROVIDER libc LOCALE 'C.UTF-8'"),
    "ICU in a cluster of libc": Kind(_LIBC, "LOCALE_PROVIDER icu ICU_LOCALE 'en-US-u-kf-upper' LOCALE 'C'"),
    "ICU with rules": Kind(_LIBC, f"LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'{_RULES}", 16),
    "builtin in a cluster of libc": Kind(_LIBC, "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'", 17),
    "libc in a cluster of builtin": Kind(_BUILTIN, "LOCALE_PROVIDER libc LOCALE 'C'", 17),
    "libc of another locale": Kind(_LIBC, "ENCODING 'LATIN1' LOCALE 'C'", 13),
}
#: What is each database's own.
_OWN = "{oid,datname,datdba,datacl,datconnlimit,datfrozenxid,datminmxid}"


def major_here() -> int:
    """Return the major version of the server that the tests start."""
    # postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)
    return int(run([newest_bin() / "postgres", "--version"]).split()[2].partition(".")[0])


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def customer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Customer]:
    kind: Kind = request.param
    if major_here() < kind.since:
        pytest.skip(f"PostgreSQL {major_here()} has no such database, which came with {kind.since}")
    try:
        with PostgresServer(fsync=False, locale=kind.cluster) as server:
            password = server.create_role("owner", options="LOGIN CREATEDB")
            server.execute(f'CREATE DATABASE app OWNER "owner" TEMPLATE template0 {kind.options}')
            customer = Customer(server, "app", "owner", password, folder=tmp_path / "backup")
            customer.as_owner("CREATE TABLE item (name text PRIMARY KEY); INSERT INTO item VALUES ('a'), ('B'), ('b')")
            yield customer
    except CommandFailed as error:
        if "ICU is not supported in this build" not in str(error):
            raise
        pytest.skip("this build of PostgreSQL has no ICU")


def made_with(server: PostgresServer, name: str) -> str:
    """Return what the catalog says of a database, without what is each one's own."""
    (row,) = server.execute(f"SELECT to_jsonb(d) - '{_OWN}'::text[] FROM pg_database d WHERE datname = '{name}'")
    return row[0]


def test_what_makes_a_database_anew_gives_it_its_locale(customer: Customer) -> None:
    server = customer.server
    archive, before, kind = customer.back_up(), customer.dump(), made_with(server, "app")
    with customer.engine() as engine:
        by_hand = find_restorer(engine).build_manual_command(archive)
        with find_rehearser(engine).open_scratch(archive, quiet) as scratch:
            assert scratch.fill() == []
            assert made_with(server, str(scratch.engine.url.database)) == kind

    customer.as_owner("DROP TABLE item")
    assert customer.restore(archive, restore_method="swap").method == "swap"
    assert (customer.dump(), made_with(server, "app")) == (before, kind)

    customer.as_owner("CREATE TABLE half (id integer)")
    type_as_superuser(customer, by_hand)
    assert (customer.dump(), made_with(server, "app")) == (before, kind)


@pytest.mark.exhaustive
@pytest.mark.parametrize("powers", ["CREATEDB", "NOCREATEDB"])
def test_one_that_was_dropped_is_made_with_its_locale(customer: Customer, powers: str) -> None:
    server = customer.server
    archive, before, kind = customer.back_up(), customer.dump(), made_with(server, "app")
    server.drop_database("app")
    server.execute(f'ALTER ROLE "owner" {powers}')
    with customer.engine() as engine:
        if powers == "NOCREATEDB":
            with pytest.raises(Refused) as refusal:
                find_restorer(engine).make_if_dropped(archive, quiet)
            command = refusal.value.remedy.partition("As a superuser: ")[2]
            assert customer.password not in command
            type_as_superuser(customer, command)
        else:
            find_restorer(engine).make_if_dropped(archive, quiet)
    assert made_with(server, "app") == kind
    customer.restore(archive)
    assert (customer.dump(), made_with(server, "app")) == (before, kind)
