"""What env.py does to a PostgreSQL database before it migrates: a plan keeps it from lasting, an upgrade does not."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.codes import assert_error, refused
from tests.lab.fixtures import Database as Postgres
from tests.lab.server import free_port
from tests.unit.modules.test_modules import call
from tests.unit.stage import Host

START = """
from alembic import context
from sqlalchemy import create_engine, pool, text
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
"""
RUN = """
with engine.connect() as connection:
    context.configure(connection=connection, version_table_schema={schema!r})
    with context.begin_transaction():
        {first}
        context.run_migrations()
"""
SCHEMA = "create schema if not exists ops"
WRITES = {
    "and commits": f"with engine.connect() as one:\n    one.execute(text('{SCHEMA}'))\n    one.commit()\n",
    "in a block": f"with engine.begin() as one:\n    one.execute(text('{SCHEMA}'))\n",
    "in autocommit": "with engine.connect().execution_options(isolation_level='AUTOCOMMIT') as one:\n"
    f"    one.execute(text('{SCHEMA}'))\n",
}


def shipped(host: Host, postgres: Postgres, env_py: str, upgrade: str = "pass") -> Database:
    """Ship a release of one revision and return the database's entry."""
    source = host.layout.release(host.ship("generic")) / "source" / "migrations"
    (source / "env.py").write_text(env_py)
    for path in (source / "versions").glob("*.py"):
        path.unlink()
    host.revise("generic", "a1", "", f"op.execute({upgrade!r})")
    path = source / "versions" / "a1.py"
    path.write_text(path.read_text().replace("down_revision = ''", "down_revision = None"))
    return Database.from_options({"name": "app", "url": postgres.url})


@pytest.mark.parametrize("way", WRITES)
def test_a_schema_that_env_py_creates_is_not_there_after_a_plan(
    host: Host, postgres_database: Postgres, way: str
) -> None:
    one = shipped(
        host, postgres_database, START + WRITES[way] + RUN.format(schema="ops", first="pass"), "create table ops.t ()"
    )
    schemas = "select count(*) from pg_namespace where nspname = 'ops'"

    plan = host.plan(one)
    entry = {"name": "app", "url": one.url}
    foreseen = call("upgrade", check=True, root=str(host.root), run="r1", databases=[entry])["databases"]

    assert postgres_database.execute(schemas) == [["0"]]
    assert [each["outcome"] for each in foreseen] == ["upgraded"]
    assert ([each["revision"] for each in plan["pending"]], plan["obstacles"]) == (["a1"], [])
    assert host.result("upgrade", one)["outcome"] == "upgraded"
    assert postgres_database.execute("select version_num from ops.alembic_version") == [["a1"]]


@pytest.mark.parametrize("way", WRITES)
def test_a_schema_that_migrate_setup_creates_is_not_there_after_a_plan(
    host: Host, postgres_database: Postgres, way: str
) -> None:
    one = shipped(host, postgres_database, START + RUN.format(schema="ops", first="pass"), "create table ops.t ()")
    url = postgres_database.url.replace("postgresql:", "postgresql+psycopg2:")
    body = f"from sqlalchemy import create_engine, pool, text\nengine = create_engine({url!r})\n"
    lines = (body + WRITES[way]).replace("\n", "\n    ")
    (host.layout.release("generic") / "source" / "prepares.py").write_text(f"def prepare():\n    {lines}\n")

    plan = host.plan(one, setup="prepares:prepare")

    assert postgres_database.execute("select count(*) from pg_namespace where nspname = 'ops'") == [["0"]]
    assert ([each["revision"] for each in plan["pending"]], plan["obstacles"]) == (["a1"], [])
    assert host.result("upgrade", one, setup="prepares:prepare")["outcome"] == "upgraded"
    assert postgres_database.execute("select version_num from ops.alembic_version") == [["a1"]]


def test_what_cannot_be_kept_from_lasting_is_refused_by_name(host: Host, postgres_database: Postgres) -> None:
    build = "create index concurrently if not exists one on mine (a)"
    postgres_database.execute(f'create table mine (a int); alter table mine owner to "{postgres_database.user}"')
    text = WRITES["in autocommit"].replace(SCHEMA, build)
    one = shipped(host, postgres_database, START + text + RUN.format(schema=None, first="pass"), "select 1")

    (obstacle,) = host.plan(one)["obstacles"]

    assert_error(obstacle, "env-py-writes", "'app'", build)
    assert postgres_database.execute("select count(*) from pg_indexes where tablename = 'mine'") == [["0"]]


def test_an_env_py_that_alters_the_version_table_waits_for_no_session(host: Host, postgres_database: Postgres) -> None:
    alter = "alter table if exists alembic_version alter column version_num type varchar(128)"
    first = f"connection.execute(text('{alter}'))"
    one = shipped(host, postgres_database, START + RUN.format(schema=None, first=first), "create table one ()")
    assert host.result("upgrade", one)["outcome"] == "upgraded"
    host.revise("generic", "b2", "a1", "op.execute('create table two ()')")
    host.revise("generic", "c3_" + "x" * 40, "b2", "op.execute('create table three ()')")

    result = host.result("upgrade", one, run="r2")

    assert (result["outcome"], result["error"]) == ("upgraded", None)
    assert postgres_database.execute("select version_num from alembic_version") == [["c3_" + "x" * 40]]


def test_a_url_of_several_hosts_is_planned_and_upgraded(host: Host, postgres_database: Postgres) -> None:
    shipped(host, postgres_database, START + RUN.format(schema=None, first="pass"), "create table one ()")
    one, server = postgres_database, postgres_database.server
    hosts = f"host={server.host}:{server.port}&host={server.host}:{free_port()}&target_session_attrs=read-write"
    entry = Database.from_options({"name": "app", "url": f"postgresql://{one.user}:{one.password}@/{one.name}?{hosts}"})

    assert host.plan(entry)["obstacles"] == []
    result = host.result("upgrade", entry)

    assert (result["outcome"], result["error"]) == ("upgraded", None)
    assert one.execute("select version_num from alembic_version") == [["a1"]]


def test_a_transaction_that_env_py_had_begun_is_known_and_nothing_is_kept(
    host: Host, postgres_database: Postgres
) -> None:
    begins = RUN.replace("    context.configure", "    connection.execute(text('select 1'))\n    context.configure")
    one = shipped(host, postgres_database, START + begins.format(schema=None, first="pass"), "create table one ()")

    failed = host.result("upgrade", one)
    back = host.result("downgrade", one)

    assert (failed["outcome"], back["outcome"]) == ("failed", "untouched")
    assert_error(failed["error"], "target-not-reached", "configure()")
    assert postgres_database.execute("select count(*) from pg_class where relnamespace = 2200") == [["0"]]


def test_a_password_that_env_py_does_not_escape_for_its_configuration_is_not_shown(
    host: Host, postgres_database: Postgres
) -> None:
    sets = "import os\nfrom alembic import context\n"
    sets += "context.config.set_main_option('sqlalchemy.url', os.environ['SHOP_URL'])\n"
    shipped(host, postgres_database, sets)
    postgres_database.execute(f"alter role \"{postgres_database.user}\" password 'Tulpe7@Garten/Zaun'")
    entry = {"name": "app", "url": postgres_database.url_without_password, "url_variables": ["SHOP_URL"]}
    given: dict[str, Any] = {"root": str(host.root), "databases": [{**entry, "password": "Tulpe7@Garten/Zaun"}]}

    (plan,) = call("plan_info", **given)["databases"]
    answers = [plan, call("upgrade", run="r1", follow=60, **given), call("status_info", **given)]

    assert "interpolation" in plan["obstacles"][0]["why"]
    assert answers[1]["failed"]
    left = [path.read_text(errors="replace") for path in host.root.rglob("*") if path.is_file()]
    for text in (*map(json.dumps, answers), *left):
        assert not [part for part in ("Tulpe7", "Garten", "Zaun") if part in text]


def test_a_schema_of_its_own_is_enough(host: Host, postgres_database: Postgres) -> None:
    name = postgres_database.name
    # Before 15 all may create tables in public.
    closed = "revoke create on schema public from public"
    postgres_database.execute(
        f'alter database "{name}" owner to postgres; create schema shop authorization "{name}"; {closed}'
    )
    one = shipped(host, postgres_database, START + RUN.format(schema="shop", first="pass"), "create table shop.t ()")

    assert host.plan(one)["obstacles"] == []
    assert host.result("upgrade", one)["outcome"] == "upgraded"

    source = host.layout.release("generic") / "source" / "migrations"
    (source / "env.py").write_text(START + RUN.format(schema="public", first="pass"))
    obstacles = host.plan(one, alembic_options={"timezone": "UTC"})["obstacles"]
    assert [each for each in obstacles if each["code"] == "privileges-missing" and "public" in each["why"]]


def test_rows_that_a_policy_hides_are_refused_with_their_table(host: Host, postgres_database: Postgres) -> None:
    one = shipped(host, postgres_database, START + RUN.format(schema=None, first="pass"), "select 1")
    postgres_database.execute(
        f'create table doc (a int); alter table doc owner to "{postgres_database.user}";'
        "alter table doc enable row level security; create policy mine on doc using (a = 1)"
    )
    assert host.plan(one)["obstacles"] == []

    postgres_database.execute("alter table doc force row level security")

    (obstacle,) = host.plan(one)["obstacles"]
    assert_error(obstacle, "privileges-missing", "public.doc", "BYPASSRLS")


def test_what_others_keep_elsewhere_is_not_counted(host: Host, postgres_database: Postgres) -> None:
    owner = f'owner to "{postgres_database.user}"'
    postgres_database.execute(
        'create extension postgres_fdw; create schema "CRM"; create schema "DATA";'
        "create server gone foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1', dbname 'x');"
        "create table public.event (at int, line text) partition by range (at);"
        "create table public.event_now partition of event for values from (10) to (20);"
        "create foreign table public.event_old partition of event for values from (0) to (10) server gone;"
        'create table "CRM".a (id int); create table "DATA".b (id int);'
        f'alter table event {owner}; alter table event_now {owner}; alter table "CRM".a {owner};'
        f'alter table event_old {owner}; alter table "DATA".b {owner}; alter schema "CRM" {owner};'
        f'alter schema "DATA" {owner};'
        f'grant usage on foreign server gone to "{postgres_database.user}"'
    )
    one = shipped(host, postgres_database, START + RUN.format(schema=None, first="pass"), "create table t ()")

    result = host.result("upgrade", one)

    assert (result["outcome"], result["error"]) == ("upgraded", None)


def test_a_server_that_only_the_environment_of_an_entry_names_is_reached_beside_an_admin_url(
    host: Host, postgres_database: Postgres
) -> None:
    """With an admin_url env.py has a process of its own, and no other one has the entry's environment."""
    shipped(host, postgres_database, START + RUN.format(schema=None, first="pass"), "create table t ()")
    server = postgres_database.server
    one = Database(
        "app",
        f"postgresql://{postgres_database.user}@/{postgres_database.name}",
        admin_url=server.url("postgres"),
        environment={
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGPASSWORD": postgres_database.password,
        },
    )

    result = host.result("upgrade", one)

    assert (result["outcome"], result["error"], result["after"]) == ("upgraded", None, ["a1"])


@pytest.mark.parametrize("is_known_at_head", [False, True])
def test_a_version_table_that_a_session_has_locked_is_waited_for_with_a_limit(
    host: Host, postgres_database: Postgres, *, is_known_at_head: bool
) -> None:
    one = shipped(host, postgres_database, START + RUN.format(schema=None, first="pass"), "select 1")
    assert host.result("upgrade", one)["outcome"] == "upgraded"
    if not is_known_at_head:
        (host.layout.locate_journals("app") / "verified.json").unlink()

    with closing(psycopg2.connect(postgres_database.url)) as other, other.cursor() as cursor:
        cursor.execute("lock table alembic_version in access exclusive mode")
        began = time.monotonic()
        (obstacle,) = host.plan(one, lock_timeout=0.5, lock_wait=1, plan_timeout=60)["obstacles"]

    assert_error(obstacle, "env-py-failed", "lock timeout")
    assert time.monotonic() - began < 30


def test_no_connection_of_our_own_waits_without_a_limit(host: Host, postgres_database: Postgres) -> None:
    one = Database.from_options({"name": "app", "url": postgres_database.url})
    engine = build_engine(one, host.job("plan", one, lock_wait=7))
    limits = [engine.open_own_connection().query_rows("show lock_timeout")]
    with engine.shorten_lock_timeout(2):
        limits.append(engine.open_own_connection().query_rows("show lock_timeout"))
    limits.append(engine.connect().query_rows("show lock_timeout"))

    assert limits == [[("7s",)], [("2s",)], [("7s",)]]

    with closing(psycopg2.connect(postgres_database.url)) as other, other.cursor() as cursor:
        cursor.execute("create table held (a int)")
        other.commit()
        cursor.execute("lock table held in access exclusive mode")
        with engine.shorten_lock_timeout(0.1), refused("read-lock-timeout") as caught:
            engine.open_own_connection().query_rows("select * from held")
    assert engine.is_lock_timeout(caught.value)


#: How env.py lifts what keeps its session from writing.
LIFTED = {
    "in its transaction": "one.autocommit = True; one.cursor().execute('begin read write; {0}; commit')",
    "for its session": "one.set_session(readonly=False); one.cursor().execute('{0}'); one.commit()",
}


@pytest.mark.parametrize(
    ("writes", "seen"),
    [("create table made (a int)", "table made"), ("insert into kept values (2)", "rows of public.kept")],
)
@pytest.mark.parametrize("way", LIFTED)
def test_what_env_py_writes_all_the_same_in_a_plan_is_reported(
    host: Host, postgres_database: Postgres, way: str, writes: str, seen: str
) -> None:
    owner = f'"{postgres_database.user}"'
    postgres_database.execute(
        f"create table kept (a int); alter table kept owner to {owner}; insert into kept values (1)"
    )
    url = postgres_database.url.replace("+psycopg2", "")
    piece = f"import psycopg2\none = psycopg2.connect({url!r}); {LIFTED[way].format(writes)}; one.close()\n"
    one = shipped(host, postgres_database, START + piece + RUN.format(schema=None, first="pass"))

    (finding,) = host.plan(one)["changed_history"]

    assert finding["code"] == "changed-while-planned"
    assert seen in finding["why"]


def test_what_is_kept_from_lasting_in_a_plan_is_not_reported(host: Host, postgres_database: Postgres) -> None:
    postgres_database.execute(f'create table kept (a int); alter table kept owner to "{postgres_database.user}"')
    piece = "with engine.begin() as one:\n    one.execute(text('insert into kept values (2)'))\n"
    one = shipped(host, postgres_database, START + piece + RUN.format(schema=None, first="pass"))

    assert host.plan(one)["changed_history"] == []
