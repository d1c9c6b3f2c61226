"""What a plan and a backup say of a restore with the rights there are, before one is needed."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from tests.codes import assert_error, assert_names
from tests.lab.fixtures import Database as Postgres
from tests.unit.stage import Answer, Host

FUNCTIONS = """
set role "{owner}";
create table rates (name text, rate int); insert into rates values ('a', 1);
create function rate_of(text) returns int language sql stable as 'select rate from rates where name = $1';
create table priced (name text, check (rate_of(name) > 0)); insert into priced values ('a');
create function kept(text) returns int language sql stable set search_path = public
  as 'select rate from rates where name = $1';
create table kept_price (name text, check (kept(name) > 0));
create function qualified(text) returns int language sql stable as 'select rate from public.rates where name = $1';
create table qualified_price (name text, check (qualified(name) > 0));
create function called_by_hand() returns int language sql as 'select max(rate) from rates';
"""


@pytest.fixture
def entry(host: Host, postgres_database: Postgres) -> Database:
    """A database with a revision that waits."""
    host.ship("generic")
    return Database("app", postgres_database.url)


def forecast(host: Host, entry: Database, run: str = "b1") -> Answer:
    """Return what the plan says of a restore; the backup says the same, and is taken all the same."""
    planned = host.plan(entry)["restore"]
    backup = host.result("backup", entry, run=run)
    assert (backup["outcome"], backup["restore"]) == ("backed_up", planned)
    return dict(planned)


def test_the_method_is_reported_and_why_it_is_not_the_other(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    found = forecast(host, entry)
    why = f"it is done in place, because {postgres_database.name} may not create databases"
    assert found == {"method": "in_place", "not_restored": [], "obstacle": None, "notes": [why]}

    postgres_database.execute(f'alter role "{postgres_database.user}" createdb')
    assert forecast(host, entry, "b2") == {"method": "swap", "not_restored": [], "obstacle": None, "notes": []}


def test_a_schema_public_of_another_role_is_a_reason(host: Host, postgres_database: Postgres, entry: Database) -> None:
    postgres_database.execute(f'alter role "{postgres_database.user}" createdb; alter schema public owner to postgres')
    postgres_database.execute(f'grant all on schema public to "{postgres_database.user}"')

    found = forecast(host, entry)

    assert found["method"] == "in_place"
    assert_names(*found["notes"], "in place", "schema public", "postgres")


def test_what_belongs_to_others_is_an_obstacle(host: Host, postgres_database: Postgres, entry: Database) -> None:
    other, user = f"{postgres_database.name}_other", postgres_database.user
    made = f'create role "{other}"; create table of_another (a int); grant select on of_another to public'
    postgres_database.execute(f'{made}; alter table of_another owner to "{other}"')

    found = forecast(host, entry)
    postgres_database.execute(f'drop owned by "{other}"; drop role "{other}"')

    assert_error(found["obstacle"], "restore-not-possible", other, f"GRANT {other} TO {user};")


def test_no_role_is_made_a_member_of_a_superuser(host: Host, postgres_database: Postgres, entry: Database) -> None:
    made = "create table of_root (a serial); create view seen as select 1 as one; select lo_from_bytea(7, 'x')"
    postgres_database.execute(f"{made}; create function f() returns int language sql as 'select 1'")
    postgres_database.execute("grant select on of_root, of_root_a_seq, seen to public")
    postgres_database.execute("grant select on large object 7 to public")

    obstacle = forecast(host, entry)["obstacle"]

    assert_error(obstacle, "restore-not-possible", "postgres")
    statements = obstacle["remedy"].rpartition("as a superuser: ")[2]
    assert "GRANT" not in obstacle["remedy"]
    postgres_database.execute(statements)
    assert forecast(host, entry, "b2")["obstacle"] is None
    done = host.result("restore", entry, run="r2", of_run="b2")
    assert done["outcome"] == "restored", done


def test_an_extension_that_only_a_superuser_makes_is_named(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    postgres_database.execute("create extension pg_buffercache; create extension pg_trgm")

    found = forecast(host, entry)

    (note,) = [note for note in found["notes"] if "superuser" in note]
    assert_names(note, "extension pg_buffercache")


#: Statements of a superuser: what the owner of the database could not make again, or may.
OF_OTHERS = {
    "a server without USAGE": "create foreign table far (id int) server beside; alter table far owner to {owner}",
    "a server with USAGE": "create foreign table far (id int) server beside; alter table far owner to {owner};"
    " grant usage on foreign server beside to {owner}",
    "a cast of built-in types": "create function cast_of(point) returns text language sql immutable"
    " as 'select null::text'; alter function cast_of owner to {owner};"
    " create cast (point as text) with function cast_of(point)",
    "a cast of a type of its owner": "create type mood as enum ('a'); alter type mood owner to {owner};"
    " create cast (mood as int) with inout",
    "default privileges of another role": "alter default privileges for role pg_monitor"
    " grant select on tables to public",
}


@pytest.mark.parametrize("powers", ["nocreatedb", "createdb"])
@pytest.mark.parametrize("kind", OF_OTHERS)
def test_a_restore_is_foreseen_as_it_ends(
    host: Host, postgres_database: Postgres, entry: Database, kind: str, powers: str
) -> None:
    owner = f'"{postgres_database.user}"'
    postgres_database.execute(f"alter role {owner} {powers}")
    if "server" in kind:
        made = "create extension postgres_fdw; create server beside foreign data wrapper postgres_fdw"
        postgres_database.execute(made)
    postgres_database.execute(OF_OTHERS[kind].format(owner=owner))

    planned = forecast(host, entry)
    done = host.result("restore", entry, run="r2", of_run="b1")

    assert (planned["obstacle"] is None) == (done["outcome"] == "restored"), (planned, done)


def test_what_would_have_a_failure_held_is_named(host: Host, postgres_database: Postgres, entry: Database) -> None:
    made = f'set role "{postgres_database.user}"; create table item (id int); reset role'
    postgres_database.execute(f"{made}; create publication theirs for table item")

    notes = [note for note in forecast(host, entry)["notes"] if "held" in note]

    assert_names(*notes, "publications", "theirs")


def test_a_function_that_needs_a_search_path_is_named_and_comes_back(
    host: Host, postgres_database: Postgres, entry: Database
) -> None:
    postgres_database.execute(FUNCTIONS.format(owner=postgres_database.user))

    notes = [note for note in forecast(host, entry)["notes"] if "search_path" in note]

    assert_names(*notes, "public.rate_of", "rates")
    done = host.result("restore", entry, run="r2", of_run="b1")
    assert done["outcome"] == "restored", done
    assert postgres_database.execute("select name from public.priced") == [["a"]]
