"""A schema per tenant in a database that they share: each is an entry, and the other ones stay to the letter."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database as Entry
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import assert_code, assert_error, assert_names, codes_of
from tests.integration.site import Site, Source
from tests.integration.targets import PostgresTarget, program
from tests.lab import PROJECT, ansible
from tests.lab.ansible import Outcome

TENANTS = ("north", "South Sea", 'quo"ted')


@pytest.fixture
def source(site: Site) -> Source:
    return site.source("tenants")


@pytest.fixture
def shared(postgres: PostgresTarget, site: Site, source: Source) -> PostgresTarget:
    """A database of three tenants at the first revision, with rows, a shared table and a shared extension."""
    postgres.database.execute("CREATE EXTENSION pg_trgm")
    postgres.rows("CREATE TABLE country (code text PRIMARY KEY)")
    postgres.rows("INSERT INTO country VALUES ('fi'), ('gr')")
    for tenant in TENANTS:
        postgres.rows(f"CREATE SCHEMA {identifier(tenant)}")
    postgres.database.execute(f'GRANT CREATE ON DATABASE "{postgres.name}" TO "{postgres.database.user}"')
    site.variables.update(migrate_source=str(source.folder), migrate_databases=[entry(postgres, t) for t in TENANTS])
    site.run("migrate", migrate_target="0001")
    for number, tenant in enumerate(TENANTS):
        schema = identifier(tenant)
        postgres.rows(
            f"INSERT INTO {schema}.orders SELECT i, 'fi', 'order ' || i FROM generate_series(1, {9 + number}) i"
        )
    return postgres


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def entry(target: PostgresTarget, tenant: str, **more: Any) -> dict[str, Any]:
    return {"name": tenant, "url": target.url, "schema": tenant, "x_arguments": [f"tenant={tenant}"], **more}


def dump_of(target: PostgresTarget, tenant: str) -> str:
    """A schema as a superuser sees it."""
    seen = PostgresTarget(replace(target.database, user="", password=""))
    return seen.dump(f"--schema={identifier(tenant)}")


def dumps(target: PostgresTarget, *, but: str = "") -> dict[str, str]:
    """The whole of each tenant as pg_dump prints it, and what all share."""
    found = {tenant: dump_of(target, tenant) for tenant in TENANTS if tenant != but}
    return {**found, "shared": dump_of(target, "public")}


def revision_of(target: PostgresTarget, tenant: str) -> list[str]:
    return [str(row[0]) for row in target.rows(f"SELECT version_num FROM {identifier(tenant)}.alembic_version")]


def printed_command(outcome: Outcome, playbook: str) -> list[str]:
    """The words of the last command of a playbook that a run has printed, whole."""
    (line,) = re.findall(rf"ansible-playbook [^\n]*{playbook} [^\n]*", outcome.output)[-1:]
    return [str(ansible.BIN / "ansible-playbook"), *shlex.split(line)[1:]]


def test_each_tenant_is_planned_backed_up_and_upgraded_by_itself(site: Site, shared: PostgresTarget) -> None:
    before = dumps(shared, but="north")
    site.run("migrate", migrate_databases=[entry(shared, "north")])
    assert revision_of(shared, "north") == ["0002"]
    assert dumps(shared, but="north") == before
    (backup,) = site.backups("north")[-1:]
    listed = program(shared.database.server.bin / "pg_restore", "--list", backup / "dump").stdout
    assert "TABLE DATA north orders" in listed
    assert "South Sea" not in listed
    assert "country" not in listed.replace("orders_country_fkey", "")
    manifest = json.loads((backup / "manifest.json").read_text())
    assert manifest["row_counts"] == {"north.alembic_version": 1, "north.orders": 9}
    site.run("migrate")
    assert [revision_of(shared, tenant) for tenant in TENANTS] == [["0002"]] * 3
    assert site.run("migrate").changed == 0


def test_a_failed_upgrade_leaves_every_tenant_as_it_was(site: Site, shared: PostgresTarget, source: Source) -> None:
    source.add("0003", "0002", "op.execute('UPDATE orders SET note = 1 / 0')")
    before = dumps(shared)
    site.run("migrate", code=2)
    assert {tenant: revision_of(shared, tenant) for tenant in TENANTS} == {tenant: ["0001"] for tenant in TENANTS}
    assert dumps(shared) == before


#: It commits what it writes and then fails, so that it is not known what of it others wrote.
COMMITS = """
with op.get_context().autocommit_block():
    op.execute("UPDATE orders SET note = 'lost'")
op.execute("SELECT 1 / 0")
"""


def test_what_a_tenant_committed_half_way_is_restored_and_the_other_ones_stay(
    site: Site, shared: PostgresTarget, source: Source
) -> None:
    source.replace("target_metadata=None", "target_metadata=None, transaction_per_migration=True")
    source.add(
        "0003",
        "0002",
        "op.execute('CREATE TABLE half AS SELECT note FROM orders')\nop.drop_column('orders', 'note')",
        None,
    )
    source.add("0004", "0003", "op.execute('SELECT 1 / 0')")
    before = dumps(shared)
    oids = shared.rows(OIDS)
    failed = site.run("migrate", code=2, migrate_databases=[entry(shared, "north")])
    assert (revision_of(shared, "north"), dumps(shared)) == (["0001"], before), failed.output
    assert shared.rows(OIDS) == oids  # nothing else was moved or made anew
    (retained,) = shared.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'alembic%'")
    assert shared.rows(f"SELECT count(*) FROM {identifier(retained[0])}.half") == [(9,)]

    source.add("0004", "0003")
    site.run("migrate", migrate_retry_failed=True)
    assert [revision_of(shared, tenant) for tenant in TENANTS] == [["0004"]] * 3
    site.run("prune", migrate_prune=True, migrate_prune_days=0)
    assert shared.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'alembic%'") == []


#: The tables of the other tenants, by number.
OIDS = """
SELECT c.oid, c.relfilenode FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('South Sea', 'quo"ted', 'public') ORDER BY 1
"""


def test_where_others_are_at_work_it_is_held_and_the_printed_restore_leaves_them_alone(
    site: Site, shared: PostgresTarget, source: Source
) -> None:
    source.add("0003", "0002", COMMITS)
    before = dumps(shared)
    with closing(shared.connect()) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchall()
        cursor.execute('UPDATE "South Sea".orders SET note = note')  # and its transaction stays open
        failed = site.run("migrate", code=2, migrate_databases=[entry(shared, "north")])
        assert shared.rows("SELECT DISTINCT note FROM north.orders") == [("lost",)]
        assert dumps(shared, but="north") == {name: text for name, text in before.items() if name != "north"}
        command = printed_command(failed, "restore.yml")
        done = program(*command, cwd=PROJECT)
        assert done.returncode == 0, done.stdout
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchall() == pid
    assert (revision_of(shared, "north"), dumps(shared)) == (["0001"], before)


def test_a_tenant_is_rolled_back_and_restored_by_itself(site: Site, shared: PostgresTarget) -> None:
    before = dumps(shared)
    site.run("migrate", migrate_run="second")
    after = dumps(shared)
    site.run("rollback", migrate_rollback_run="second", migrate_only="South Sea")
    assert {tenant: revision_of(shared, tenant) for tenant in TENANTS} == {
        "north": ["0002"], "South Sea": ["0001"], 'quo"ted': ["0002"],
    }  # fmt: skip
    assert dumps(shared) == {**after, "South Sea": before["South Sea"]}

    shared.rows('DROP SCHEMA "quo""ted" CASCADE')
    site.run("restore", migrate_restore_run="second", migrate_only='quo"ted', migrate_restore_loses_writes=True)
    assert dumps(shared) == {**after, "South Sea": before["South Sea"], 'quo"ted': before['quo"ted']}


def test_a_revision_that_leaves_its_schema_is_not_committed(site: Site, shared: PostgresTarget, source: Source) -> None:
    before = dumps(shared)
    leaving = (
        "op.execute(\"INSERT INTO country VALUES ('no')\")",
        "op.execute('CREATE TABLE public.stray (id integer)')",
        "op.execute('ALTER TABLE country ADD COLUMN name text')",
        "op.execute('CREATE FUNCTION public.stray() RETURNS integer LANGUAGE sql AS $$SELECT 1$$')",
        "op.execute('CREATE SCHEMA stray')",
        "op.execute('DROP TABLE \"South Sea\".orders CASCADE')",
        "op.execute(\"COMMENT ON TABLE country IS 'x'\")",
        "op.execute('SELECT lo_from_bytea(4711, $$x$$)')",
        "op.execute('CREATE CAST (state AS integer) WITH INOUT')",
        "op.execute('CREATE PUBLICATION stray FOR TABLE orders')",
        "op.execute('GRANT CONNECT ON DATABASE \"' + op.get_bind().engine.url.database + '\" TO public')",
    )
    for number, body in enumerate(leaving):
        source.add("0003", "0002", body)
        outcome = site.run(
            "migrate", code=2, migrate_databases=[entry(shared, "north")], migrate_retry_failed=bool(number)
        )
        assert "schema-left" in codes_of(outcome), body
        assert (revision_of(shared, "north"), dumps(shared)) == (["0001"], before), body


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("CREATE VIEW public.all_orders AS SELECT id FROM north.orders", "view all_orders"),
        ("CREATE TABLE public.paid (id integer REFERENCES north.orders)", "constraint paid_id_fkey on table paid"),
        (
            "CREATE FUNCTION public.of(north.state) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
            "function of(north.state)",
        ),
    ],
)
def test_what_hangs_on_a_tenant_elsewhere_is_named_at_the_plan(
    site: Site, shared: PostgresTarget, made: str, named: str
) -> None:
    shared.rows(made)
    (plan,) = site.run("plan", migrate_databases=[entry(shared, "north")]).results("Plan every database")
    (database,) = plan["databases"]
    assert_error(database["restore"]["obstacle"], "restore-not-possible", named)


def test_what_a_tenant_needs_of_elsewhere_is_named_at_the_plan(site: Site, shared: PostgresTarget) -> None:
    outcome = site.run("plan", migrate_databases=[entry(shared, "north")])
    assert_names(outcome.output, "extension pg_trgm", "table country")


def test_a_database_and_a_schema_of_it_are_not_both_entries(site: Site, shared: PostgresTarget) -> None:
    both = [entry(shared, "north"), {**shared.entry, "x_arguments": ["tenant=north"]}]
    outcome = site.run("migrate", code=2, migrate_databases=both)
    assert_code(outcome, "schema-of-another-entry")
    assert revision_of(shared, "north") == ["0001"]


def test_a_tenant_is_locked_by_itself_and_against_the_whole(site: Site, shared: PostgresTarget) -> None:
    def locked(wanted: dict[str, Any], held: dict[str, Any]) -> bool:
        mine, other = (
            build_engine(Entry.from_options(each), Job("upgrade", str(site.root))) for each in (wanted, held)
        )
        lock = other.try_lock()
        assert lock
        try:
            got = mine.try_lock()
            if got:
                got.release()
            return not got
        finally:
            lock.release()

    north, south = entry(shared, "north"), entry(shared, "South Sea")
    assert not locked(north, south)
    assert locked(north, north)
    assert locked(north, shared.entry)
    assert locked(shared.entry, north)


def test_a_schema_that_is_not_there_is_refused_at_the_plan(site: Site, shared: PostgresTarget) -> None:
    outcome = site.run("migrate", code=2, migrate_databases=[entry(shared, "nowhere")])
    assert_code(outcome, "schema-missing")


def test_tenants_are_found_and_each_is_a_database_of_its_own(site: Site, shared: PostgresTarget) -> None:
    shared.rows("CREATE SCHEMA other")
    source: dict[str, Any] = {
        "name": "tenants",
        "schemas": ["n*", "S*", "other", "q*"],
        "exclude": ["oth*"],
        "url": shared.url,
        "template": {
            "name": "{schema}", "url": shared.url, "schema": "{schema}", "x_arguments": ["tenant={schema}"],
        },
    }  # fmt: skip
    site.variables.update(migrate_databases=[], migrate_discover=[source])
    outcome = site.run("migrate", migrate_run="found")
    (plan,) = outcome.results("Plan every database")[-1:]
    assert len(plan["databases"]) == len(TENANTS)
    assert [revision_of(shared, tenant) for tenant in TENANTS] == [["0002"]] * 3
    assert site.run("migrate").changed == 0

    # As a program lists the databases, and the template says how each is reached.
    by_program: dict[str, Any] = {**source, "url": None, "command": ["/bin/echo", json.dumps([{"at": shared.name}])]}
    by_program["template"] = {**source["template"], "url": shared.url.replace(shared.name, "{at}")}
    (plan,) = site.run("plan", migrate_discover=[by_program]).results("Plan every database")
    assert sorted(each["current"] for each in plan["databases"]) == [["0002"]] * 3


def test_a_tenant_is_rehearsed_on_a_copy_that_has_its_extensions(site: Site, shared: PostgresTarget) -> None:
    shared.database.execute(f'ALTER ROLE "{shared.database.user}" CREATEDB')
    site.variables["migrate_databases"] = [entry(shared, "north")]
    assert_code(site.run("rehearse", code=2), "rehearsal-needs-other-schemas", "table country")

    shared.rows("ALTER TABLE north.orders DROP CONSTRAINT orders_country_fkey")
    before = dumps(shared)
    site.run("rehearse")
    assert (revision_of(shared, "north"), dumps(shared)) == (["0001"], before)
    site.run("migrate", migrate_require_rehearsal=True)
    assert revision_of(shared, "north") == ["0002"]


def type_as_superuser(target: PostgresTarget, command: str) -> None:
    database = target.database
    environment = {**os.environ, **database.server.as_typed(database.user, database.password)}
    subprocess.run(command, shell=True, check=True, env=environment)  # noqa: S602 - as a person types it


def test_the_commands_for_a_superuser_restore_a_tenant_or_let_its_owner_do_so(
    site: Site, shared: PostgresTarget
) -> None:
    before = dumps(shared)
    site.run("backup")
    database, user = identifier(shared.name), identifier(shared.database.user)
    shared.database.execute(f"REVOKE CREATE ON DATABASE {database} FROM {user}")
    job = Job("restore", str(site.root))
    for tenant in ('quo"ted', "South Sea"):
        shared.rows(f"DROP TABLE {identifier(tenant)}.orders CASCADE")
        with closing(build_engine(Entry.from_options(entry(shared, tenant)), job)) as engine:
            dump = max(site.root.glob(f"backups/{tenant[:3].lower()}*/*/dump"))
            archive = Archive(dump, [], None, frozenset())
            rights, by_hand = (
                find_restorer(engine).find_restore_rights(archive),
                find_restorer(engine).build_manual_command(archive),
            )
        assert rights
        if tenant == "South Sea":
            type_as_superuser(shared, rights[0])
            site.run("restore", migrate_restore_databases=[tenant], migrate_restore_loses_writes=True)
        else:
            type_as_superuser(shared, by_hand)
    assert dumps(shared) == before


def test_a_role_that_owns_its_schema_and_nothing_else(site: Site, shared: PostgresTarget, source: Source) -> None:
    server, role = shared.database.server, f"{shared.name}_tenant"
    server.create_role(role, "secret")
    shared.database.execute(f"CREATE SCHEMA single AUTHORIZATION {role}; GRANT REFERENCES ON country TO {role}")
    shared.database.execute(f"REVOKE ALL ON SCHEMA north FROM public; GRANT CREATE ON DATABASE {shared.name} TO {role}")
    single = {**entry(shared, "single"), "url": server.url(shared.name, user=role, password="secret")}
    source.replace("target_metadata=None", "target_metadata=None, transaction_per_migration=True")
    site.run("migrate", migrate_databases=[single])
    shared.database.execute("INSERT INTO single.orders SELECT i, 'gr', 'order ' || i FROM generate_series(1, 50) i")
    before = dump_of(shared, "single"), dumps(shared)
    source.add("0003", "0002", "op.drop_column('orders', 'note')", None)
    source.add("0004", "0003", "op.execute('SELECT 1 / 0')")
    site.run("migrate", code=2, migrate_databases=[single])
    assert (dump_of(shared, "single"), dumps(shared)) == before
