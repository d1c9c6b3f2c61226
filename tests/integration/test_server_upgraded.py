"""A database that moved to a newer major version of the server, and its backups of before: restored by each method.

The oracle is what pg_restore by itself makes of the same archive on the newer server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._migration.state import list_differences_since
from tests.integration.corpus import has_newer_clients, major_of, objects_for
from tests.integration.test_restore_corpus import RUIN, by_itself, difference, without_database
from tests.integration.test_restore_postgresql import Customer, quiet
from tests.lab import PROJECT
from tests.lab.postgres import BIN, PostgresServer
from tests.lab.postgresql_versions import programs
from tests.lab.shell import run
from tests.unit.stage import Host

_FIXTURES = Path(__file__).parents[1] / "fixtures"
_CACHE = PROJECT / ".hosting-alembic" / "cache" / "postgresql"
#: Debian's, which comes from no index.
_DEBIAN = 15
_DEBIANS = Path(f"/usr/lib/postgresql/{_DEBIAN}/bin")
_RUIN = """
DROP VIEW vw1; DROP TABLE vu CASCADE; ALTER TABLE vt ALTER "Mixed Case" DROP NOT NULL; DELETE FROM vs.vs;
REVOKE SELECT ON acl1 FROM reader; GRANT DELETE ON acl3 TO reader; CREATE TABLE left_there (id integer)
"""
_IS_PUBLIC = re.compile("SCHEMA public|Name: public;|initdb creates it")
#: What another session changes after the move, and since which version he can.
CHANGES = {
    "a name of NOT NULL": ("ALTER TABLE vt RENAME CONSTRAINT vt_a_not_null TO named", 18),
    "NOT NULL without heirs": ("ALTER TABLE vu ADD CONSTRAINT vu_c_not_null NOT NULL c NO INHERIT", 18),
    "NOT NULL that is not validated": ("ALTER TABLE vu ADD CONSTRAINT vu_c_not_null NOT NULL c NOT VALID", 18),
    "NOT NULL": ("ALTER TABLE vu ALTER c SET NOT NULL", 13),
    "no NOT NULL": ('ALTER TABLE vt ALTER "Mixed Case" DROP NOT NULL', 13),
    "a name of NOT NULL of a domain": ("ALTER DOMAIN vd1 RENAME CONSTRAINT vd1_not_null TO named", 17),
    "MAINTAIN of another": ("GRANT MAINTAIN ON acl3 TO reader", 17),
    "MAINTAIN for all": ("GRANT MAINTAIN ON acl3 TO PUBLIC", 17),
    "one of all privileges": ("REVOKE TRIGGER ON acl1 FROM reader", 13),
    "one of the owner's": ("REVOKE TRIGGER ON acl1 FROM CURRENT_USER", 13),
    "all of the owner's": ("REVOKE ALL ON acl1 FROM CURRENT_USER", 13),
    "a right to grant": ("GRANT SELECT ON acl3 TO reader WITH GRANT OPTION", 13),
    "a column of a view": ("CREATE OR REPLACE VIEW vw1 AS SELECT a, upper(b) AS b FROM vt", 13),
    "the relation of a view": ("CREATE OR REPLACE VIEW vw17 AS SELECT a AS id FROM vu", 13),
    "the other column of two": ("CREATE OR REPLACE VIEW vw3 AS SELECT vu.a, vu.c FROM vt JOIN vu USING (a)", 13),
    "a literal of a view": ("CREATE OR REPLACE VIEW vw7 AS SELECT 1::bigint AS n, a AS vt, 'a' AS lit FROM vt", 13),
    "a trigger": ("CREATE TRIGGER vg AFTER UPDATE ON vt FOR EACH ROW EXECUTE FUNCTION vf()", 13),
    "a trigger of its own": ("CREATE TRIGGER mine AFTER INSERT ON vp FOR EACH ROW EXECUTE FUNCTION vf()", 13),
}  # fmt: skip


def _programs(version: int) -> Path:
    if version == _DEBIAN:
        return _DEBIANS
    if BIN not in os.environ and not (_CACHE / str(version) / "bin").is_dir():
        pytest.skip(f"PostgreSQL {version} is not fetched: python -m tests.postgresql_versions")
    return programs(version, _CACHE, _DEBIANS)


@dataclass(frozen=True)
class AfterUpgrade:
    """A database that has moved, and its backups of before by the program that made them."""

    customer: Customer
    version: int
    archives: dict[str, Archive]
    before: list[str]


pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def newer() -> Iterator[PostgresServer]:
    with PostgresServer(fsync=False) as running:
        running.execute("CREATE ROLE reader; CREATE ROLE \"owner\" LOGIN CREATEDB PASSWORD 'x'")
        yield running


@pytest.fixture(scope="module", params=[13, 14, 15, 16, 17])
def after_upgrade(
    request: pytest.FixtureRequest, newer: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AfterUpgrade:
    """A database with what versions do in other ways, made on an older server, backed up there and loaded here."""
    if request.param >= major_of(newer) or has_newer_clients(newer):
        pytest.skip(f"PostgreSQL {request.param} is not older than what runs here")
    with PostgresServer(fsync=False, bin=_programs(request.param)) as older:
        older.execute("CREATE ROLE reader; CREATE ROLE \"owner\" LOGIN CREATEDB PASSWORD 'x'")
        older.execute('CREATE DATABASE app OWNER "owner"')
        customer = Customer(older, "app", "owner", "x")
        # The corpus goes last, for it grants by default what comes after. It needs a public of the owner's, which no
        # archive of before 15 brings back.
        customer.as_owner((_FIXTURES / "objects_by_version.sql").read_text())
        if request.param >= 15:
            customer.as_owner(objects_for(older, newer))
        else:
            older.execute("GRANT CREATE ON SCHEMA public TO reader", "app")
        archives = {}
        for name, folder in (("its own pg_dump", older.bin), ("the newer pg_dump", newer.bin)):
            with replace(customer, folder=tmp_path_factory.mktemp("backup")).engine(pg_bin=str(folder)) as engine:
                place = tmp_path_factory.mktemp("dump")
                dump = engine.dump(place, True, quiet)
                fingerprint = engine.open_own_connection().run(engine.read_fingerprint, frozenset())
                archives[name] = Archive(dump.path, fingerprint, dump.row_counts, frozenset(), dump.activity)
        here = replace(customer, server=newer, folder=tmp_path_factory.mktemp("runs"))
        _load(here, older.url("app"), place, "moved")
    return AfterUpgrade(here, request.param, archives, fingerprint)


def _load(here: Customer, url: str, place: Path, name: str) -> None:
    """Load a database of another server as pg_upgrade does: by the pg_dump of the newer server, as its superuser."""
    server = here.server
    server.drop_database(name)
    server.execute(f'CREATE DATABASE {name} OWNER "owner" TEMPLATE template0')
    whole = place / "whole"
    run([server.bin / "pg_dump", "--format=custom", "--file", whole, url])
    run([server.bin / "pg_restore", "--exit-on-error", "--dbname", server.url(name), whole])


def _make_anew(customer: Customer) -> None:
    """Make the database what it was right after its move."""
    customer.server.drop_database("app")
    customer.server.execute('CREATE DATABASE app OWNER "owner" TEMPLATE moved')


def _differences(customer: Customer, before: list[str]) -> list[str]:
    with customer.engine() as engine:
        return list_differences_since(
            engine, before, engine.open_own_connection().run(engine.read_fingerprint, frozenset())
        )


@pytest.mark.parametrize("method", ["swap", "in_place"])
@pytest.mark.parametrize("by", ["its own pg_dump", "the newer pg_dump"])
def test_a_backup_of_the_older_server_is_restored_on_the_newer(
    after_upgrade: AfterUpgrade, by: str, method: str
) -> None:
    customer, archive = after_upgrade.customer, after_upgrade.archives[by]
    _make_anew(customer)
    if after_upgrade.version < 15 and method == "swap":
        # A public that is another's can only be made anew by a superuser.
        customer = replace(customer, user=customer.server.user, password=customer.server.password)
    expected = by_itself(customer, archive.path)
    customer.as_owner(_RUIN)
    if after_upgrade.version >= 15:
        customer.as_owner(RUIN)

    restored = customer.restore(archive, restore_method=method)

    assert restored.method == method
    found = difference(without_database(expected), without_database(customer.dump()))
    if after_upgrade.version == 14 and by == "its own pg_dump":  # of 13 there is none, and a later one prints public
        # In place it stays what it was on the older server; a pg_dump of then does not say that.
        found = [line for line in found if not _IS_PUBLIC.search(line)]
        assert bool(restored.not_restored) == (method == "swap")
    assert found == []
    assert _differences(customer, archive.fingerprint) == []


def test_a_move_is_not_a_difference_and_each_change_after_it_is(after_upgrade: AfterUpgrade) -> None:
    customer = after_upgrade.customer
    _make_anew(customer)
    assert _differences(customer, after_upgrade.before) == []

    for change, (statement, since) in CHANGES.items():
        if major_of(customer.server) < since:
            continue
        customer.as_owner(statement)

        assert _differences(customer, after_upgrade.before) != [], change

        _make_anew(customer)


@pytest.mark.parametrize("verb", ["rollback", "restore"])
@pytest.mark.parametrize("version", [14, 15, 16, 17])
def test_a_run_of_before_the_move_is_undone_after_it(
    newer: PostgresServer, version: int, verb: str, tmp_path: Path
) -> None:
    if version >= major_of(newer) or has_newer_clients(newer):
        pytest.skip(f"PostgreSQL {version} is not older than what runs here")
    host = Host(tmp_path / "root")
    host.ship("generic")
    with PostgresServer(fsync=False, bin=_programs(version)) as older:
        older.execute("CREATE ROLE reader; CREATE ROLE \"owner\" LOGIN CREATEDB PASSWORD 'x'")
        older.execute('CREATE DATABASE app OWNER "owner"')
        customer = Customer(older, "app", "owner", "x")
        older.execute('GRANT CREATE ON SCHEMA public TO reader, "owner"', "app")
        customer.as_owner((_FIXTURES / "objects_by_version.sql").read_text())
        here = replace(customer, server=newer)
        _load(here, older.url("app"), tmp_path, "app")
        expected = here.dump()
        done = host.result("upgrade", Database("app", customer.url), release="generic", run="one")
        assert done["outcome"] == "upgraded"
        _load(here, older.url("app"), tmp_path, "app")
    if verb == "restore":  # the program of the backup need not be the one of the move
        expected = by_itself(here, host.layout.locate_backups("app") / "one" / "dump")
    entry = Database("app", here.url)
    options = {"release": "generic", "run": "two", "of_run": "one"}
    refused = host.result(verb, entry, **options)
    assert refused["outcome"] == "refused"
    assert refused["error"]["code"] == {"rollback": "database-elsewhere", "restore": "others-wrote"}[verb]

    done = host.result(verb, entry, **{**options, "run": "three"}, restore_loses_writes=True)

    assert done["outcome"] == {"rollback": "downgraded", "restore": "restored"}[verb]
    if verb == "rollback":
        here.as_owner("DROP TABLE alembic_version")
    assert difference(without_database(expected), without_database(here.dump())) == []
