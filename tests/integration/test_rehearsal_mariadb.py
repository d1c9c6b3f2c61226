"""Rehearsals on MariaDB: a copy in a schema beside the database, which is only read, whatever a revision names."""

from __future__ import annotations

import os
import re
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.codes import assert_code, reported
from tests.integration.site import Site, Source, assert_says
from tests.integration.targets import MariaDBTarget
from tests.integration.test_rehearsal import at_first, rehearsed, verdicts
from tests.integration.virtualenvs import virtualenv
from tests.lab.ansible import Outcome
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import MariaDBServer, literal
from tests.lab.processes import holding

_COPIES = "hosting\\\\_alembic\\\\_rehearsal\\\\_%"


def copies(server: MariaDBServer) -> list[str]:
    statement = f"select schema_name from information_schema.schemata where schema_name like '{_COPIES}'"
    return sorted(row[0] for row in server.execute(statement))


@pytest.fixture
def customer_site(site: Site, mariadb: MariaDBTarget) -> Iterator[Site]:
    """A site whose user owns one database, and may do nothing else."""
    site.variables["migrate_virtualenv"] = str(virtualenv("pymysql"))
    site.variables["migrate_databases"] = [mariadb.entry]
    yield site
    for name in copies(mariadb.database.server):
        mariadb.database.server.drop_database(name)


@contextmanager
def limited_user(mariadb: MariaDBTarget, name: str, rights: bool = True) -> Iterator[str]:
    """A user for copies and nothing else, whom the database's entry names; its password."""
    server = mariadb.database.server
    password = server.create_user(name)
    if rights:
        server.execute(f"grant all on `hosting\\_alembic\\_rehearsal\\_%`.* to {literal(name)}@'%'")
    mariadb.rehearses = {
        "rehearse_url": f"mysql://{name}@{server.host}:{server.port}",
        "rehearse_password": password,
    }
    try:
        yield password
    finally:
        server.execute(f"drop user {literal(name)}@'%'")


@pytest.fixture
def maria_site(customer_site: Site, mariadb: MariaDBTarget) -> Iterator[Site]:
    """A site with a user who may make copies, and do nothing else."""
    with limited_user(mariadb, f"{mariadb.name}_r"):
        customer_site.variables["migrate_databases"] = [mariadb.entry]
        yield customer_site


def full_of_everything(mariadb: MariaDBTarget) -> None:
    """Make objects of each kind, with names of each kind; by the superuser some of them, as a former owner has left."""
    for statement in (
        'create table `quo"ted` (id int primary key auto_increment, `a.b` varchar(20), `c:d%` blob)',
        'alter table `quo"ted` add twice int as (char_length(`a.b`) * 2) stored',
        "alter table `quo\"ted` add made timestamp default '2020-01-02 03:04:05'",
        "insert into `quo\"ted` (`a.b`, `c:d%`) values ('x', x'00ff'), (null, null), ('ü', 'it''s')",
        "create table `a.b` (id int primary key, part int, foreign key (part) references item (id) on delete cascade)",
        "insert into `a.b` values (1, 1), (2, null)",
        "create table `back``tick` (f float, d double, b bit(9), j longtext) engine = aria transactional = 0",
        "insert into `back``tick` values (1.5, 0.1, b'101', '{}')",
        "create table `line\nbreak;\n(x` (id int primary key, `a;\nb` int)",
        "insert into `line\nbreak;\n(x` values (1, 2)",
        "create sequence numbers start with 5",
        "create table numbered (id int default nextval(numbers), name varchar(9))",
        "insert into numbered (name) values ('one'), ('two')",
    ):
        mariadb.rows(statement)
    server = mariadb.database.server
    mariadb.database.execute(
        "alter database character set latin1 collate latin1_german1_ci;"
        " create trigger older before update on item for each row set new.name = concat(new.name, '?');"
        " create procedure older_still() select 'x';"
        " create event oldest on schedule every 1 day starts '2030-01-01 00:00:00' do select 'x';"
        " alter database character set utf8mb4 collate utf8mb4_unicode_ci;"
    )
    server.execute(f"grant select on mysql.proc to {literal(mariadb.database.user)}@'%'")
    server.execute(
        "create view `z below` as select id, name from item; create view `above` as select name from `z below`;"
        " create trigger loud before insert on item for each row set new.name = upper(new.name);"
        " create trigger second before insert on item for each row follows loud set new.name = concat(new.name, '!');"
        " create function double_of(x int) returns int deterministic return x * 2;"
        " create event busy on schedule every 1 second do insert into item (name) values ('by the event');"
        " create event gone on schedule every 1 year comment 'on completion preserve enable' do select 1;",
        mariadb.name,
    )


def test_a_good_history_is_rehearsed_and_the_database_is_not_written(maria_site: Site, mariadb: MariaDBTarget) -> None:
    source, settings = at_first(maria_site, mariadb)
    full_of_everything(mariadb)
    source.add(
        "0003",
        "0002",
        "op.create_table('tag', sa.Column('item', sa.Integer, sa.ForeignKey('item.id')))",
        "op.drop_table('tag')",
    )
    source.add(
        "0004",
        "0003",
        "op.execute('drop event gone')\nop.execute(\"insert into item (id, name) values (50, 'low')\")",
        "op.execute('delete from item where id = 50')\n"
        "op.execute(\"create event gone on schedule every 1 year starts '2030-01-01' do select 1\")",
    )
    before, server = mariadb.dump(), mariadb.database.server
    server.execute("set global event_scheduler = on")
    try:
        results, output = rehearsed(maria_site, **settings)
    finally:
        server.execute("set global event_scheduler = off")
        # The database's own events write, the copy's do not.
        server.execute("delete from item where name like 'BY THE EVENT%'", mariadb.name)
    result = results[mariadb.name]
    assert result["outcome"] == "rehearsed", result
    assert verdicts(result)[:2] == [("0002", "reversible"), ("0003", "reversible")], result
    # The event is another one; no row is.
    assert (verdicts(result)[2], result["revisions"][2]["data_loss"]) == (("0004", "lossy"), [])
    assert_says(output, f"{mariadb.name} rehearsed 0001 0004 2 reversible")
    assert [line for line in mariadb.dump().splitlines() if "AUTO_INCREMENT" not in line] == [
        line for line in before.splitlines() if "AUTO_INCREMENT" not in line
    ]
    assert copies(server) == []
    assert list((maria_site.root / "schemas").glob("*.json")) == []
    assert maria_site.run("migrate", **settings).changed > 0
    assert mariadb.revisions == ["0004"]


def test_what_each_revision_loses_is_reported_and_where_it_cannot_go_back(
    maria_site: Site, mariadb: MariaDBTarget
) -> None:
    source, settings = at_first(maria_site, mariadb)
    source.add("0003", "0002", "op.drop_column('item', 'name')", "op.add_column('item', sa.Column('name', sa.Text))")
    source.add("0004", "0003", "op.create_table('left', sa.Column('id', sa.Integer))", "pass")
    source.add("0005", "0004", "op.create_table('last', sa.Column('id', sa.Integer))", None)
    before = mariadb.dump()
    results, output = rehearsed(maria_site, **settings)
    result = results[mariadb.name]
    assert verdicts(result) == [
        ("0002", "reversible"),
        ("0003", "lossy"),
        ("0004", "lossy"),
        ("0005", "irreversible"),
    ]
    assert ("item", "name") in [(loss["table"], loss["column"]) for loss in result["revisions"][1]["data_loss"]]
    assert result["revisions"][2]["again"] is False
    assert result["revisions"][3]["space"] > 0
    assert_says(output, "LOSSY item.name", "FAILS A SECOND TIME", "IRREVERSIBLE")
    assert (mariadb.dump(), copies(mariadb.database.server)) == (before, [])
    refused = maria_site.run("rehearse", code=2, migrate_rehearsal_fails_on=["irreversible"], **settings)
    assert_code(refused, "rehearsal-not-clean", "0005", database=mariadb.name)


def test_an_upgrade_that_fails_on_the_rows_that_are_there_stops_migrate(
    maria_site: Site, mariadb: MariaDBTarget
) -> None:
    source, settings = at_first(maria_site, mariadb)
    mariadb.rows("INSERT INTO item (id, name) VALUES (9, 'item 1')")
    # What comes before it is committed at once, where the database is not rehearsed.
    unique = (
        "op.create_table('half', sa.Column('id', sa.Integer))\nop.create_unique_constraint('one', 'item', ['name'])"
    )
    undone = "op.drop_constraint('one', 'item', type_='unique')\nop.drop_table('half')"
    source.add("0003", "0002", unique, undone)
    before = mariadb.dump()
    outcome = maria_site.run("migrate", code=2, migrate_rehearse=True, **settings)
    assert_code(outcome, "revision-failed", "0003", "Duplicate entry", database=mariadb.name)
    assert not outcome.results("Upgrade each database")
    assert (mariadb.dump(), copies(mariadb.database.server)) == (before, [])
    mariadb.rows("DELETE FROM item WHERE id = 9")
    outcome = maria_site.run("migrate", migrate_rehearse=True, **settings)
    assert_says(outcome.output, f"{mariadb.name} rehearsed 0001 0003", f"{mariadb.name} upgraded 0001 0003")
    assert mariadb.revisions == ["0003"]


def test_what_a_killed_rehearsal_leaves_is_dropped_and_a_live_one_is_not(
    maria_site: Site, mariadb: MariaDBTarget
) -> None:
    source, settings = at_first(maria_site, mariadb)
    source.add("0003", "0002", "op.execute('DO SLEEP(600)')")
    server = mariadb.database.server
    before = mariadb.dump()
    with maria_site.start("rehearse", migrate_run="killed", **settings) as running:
        running.wait_for("rehearses revision 2 of 2, 0003")
        (alive,) = copies(server)
        assert maria_site.run("prune", migrate_prune=True, **settings).changed == 0
        # Another host may have the same database.
        source.add("0003", "0002")
        folder = maria_site.folder / "other"
        folder.mkdir()
        other = Site(folder, {**maria_site.variables, "migrate_root": str(folder / "root")})
        rehearsed(other, **settings)
        assert copies(server) == [alive]
        for pid in holding(maria_site.root / "workers" / "killed.rehearse"):
            os.kill(pid, signal.SIGKILL)
        assert_says(running.end(code=2), "died")
    assert copies(server) == [alive]
    # Of another host, or by a schema of such a name, nothing is dropped.
    server.execute(f"create database `{alive[:-8]}0badcafe`")
    rehearsed(other, **settings)
    assert_says(maria_site.run("prune", **settings).output, f"{mariadb.name} scratch {alive}", "migrate_prune")
    assert copies(server) == sorted([f"{alive[:-8]}0badcafe", alive])
    assert_says(maria_site.run("recover", **settings).output, f"{mariadb.name} killed pruned")
    assert copies(server) == [f"{alive[:-8]}0badcafe"]
    assert maria_site.run("recover", **settings).changed == 0
    rehearsed(maria_site, **settings)
    assert (copies(server), mariadb.dump()) == ([f"{alive[:-8]}0badcafe"], before)


def test_check_mode_says_what_it_would_rehearse_and_does_nothing(maria_site: Site, mariadb: MariaDBTarget) -> None:
    _source, settings = at_first(maria_site, mariadb)
    before, tree = mariadb.dump(), maria_site.tree()
    outcome = maria_site.run("rehearse", "--check", **settings)
    assert_says(outcome.output, f"{mariadb.name} would be rehearsed 0001 0002")
    assert outcome.changed > 0
    assert (mariadb.dump(), maria_site.tree(), copies(mariadb.database.server)) == (before, tree, [])


def test_without_the_right_to_make_a_schema_the_grant_is_printed(customer_site: Site, mariadb: MariaDBTarget) -> None:
    with limited_user(mariadb, f"{mariadb.name}_r", rights=False):
        _source, settings = at_first(customer_site, mariadb)
        before, taken, tree = mariadb.dump(), len(customer_site.backups(mariadb.name)), customer_site.tree()
        checked = customer_site.run("rehearse", "--check", code=2, **settings)
        assert_code(checked, "rehearsal-privileges-missing", database=mariadb.name)
        assert customer_site.tree() == tree
        refused = customer_site.run("rehearse", code=2, **settings)
        assert_code(refused, "rehearsal-privileges-missing", "GRANT ALL PRIVILEGES ON", database=mariadb.name)
        assert (mariadb.dump(), len(customer_site.backups(mariadb.name))) == (before, taken)
        mariadb.database.server.execute(grant_of(refused))
        results, _output = rehearsed(customer_site, **settings)
        assert verdicts(results[mariadb.name]) == [("0002", "reversible")]
        assert (mariadb.dump(), copies(mariadb.database.server)) == (before, [])


def test_the_databases_own_user_is_refused_and_what_is_printed_makes_a_limited_one(
    customer_site: Site, mariadb: MariaDBTarget
) -> None:
    _source, settings = at_first(customer_site, mariadb)
    server, user = mariadb.database.server, mariadb.database.user
    server.execute(f"grant all on `hosting\\_alembic\\_rehearsal\\_%`.* to '{user}'@'%'")
    before, taken, tree = everything(mariadb), len(customer_site.backups(mariadb.name)), customer_site.tree()
    checked = customer_site.run("rehearse", "--check", code=2, **settings)
    assert_code(checked, "rehearsal-user-not-limited", mariadb.name.replace("_", "\\_"), database=mariadb.name)
    assert customer_site.tree() == tree
    # A rehearsal before an upgrade is refused by its plan.
    planned = customer_site.run("migrate", code=2, migrate_rehearse=True, **settings)
    assert_code(planned, "rehearsal-user-not-limited", database=mariadb.name)
    refused = customer_site.run("rehearse", code=2, **settings)
    assert_code(refused, "rehearsal-user-not-limited", "CREATE USER", database=mariadb.name)
    assert (everything(mariadb), len(customer_site.backups(mariadb.name))) == (before, taken)
    text = next(each.text for each in reported(refused) if each.code == "rehearsal-user-not-limited")
    create, grant = text[text.index("CREATE USER") :].split(";")[:2]
    url = re.search(r"rehearse_url: (\S+)", text)
    assert url
    password = secrets.token_urlsafe(12)
    server.execute(f"{create.replace('PASSWORD', password)};{grant}")
    try:
        entry = {**mariadb.entry, "rehearse_url": url[1], "rehearse_password": password}
        results, output = rehearsed(customer_site, **{**settings, "migrate_databases": [entry]})
        assert verdicts(results[mariadb.name]) == [("0002", "reversible")]
        assert password not in output
        assert (mariadb.dump(), copies(server)) == (before[0], [])
    finally:
        server.execute(f"drop user {create.split()[2]}")


@pytest.mark.parametrize(
    ("grant", "revoke"),
    [
        ("grant select on `{name}`.* to '{user}'@'%'", "revoke select on `{name}`.* from '{user}'@'%'"),
        ("grant insert on `{name}`.item to '{user}'@'%'", "revoke insert on `{name}`.item from '{user}'@'%'"),
        ("grant create user on *.* to '{user}'@'%'", "revoke create user on *.* from '{user}'@'%'"),
        ("create role {name}_role; grant {name}_role to '{user}'@'%'", "drop role {name}_role"),
        ("grant select on `{name}`.item to public", "revoke select on `{name}`.item from public"),
        # Rights of users without a name are everyone's, and are not among one's own.
        (
            "insert into mysql.db (host, db, user, create_priv) values ('%', 'test\\_%', '', 'Y'); flush privileges",
            "delete from mysql.db where user = ''; flush privileges",
        ),
    ],
    ids=["schema", "table", "everywhere", "role", "public", "nameless"],
)
def test_a_user_who_may_do_more_than_make_copies_is_refused(
    maria_site: Site, mariadb: MariaDBTarget, grant: str, revoke: str
) -> None:
    _source, settings = at_first(maria_site, mariadb)
    server, names = mariadb.database.server, {"name": mariadb.name, "user": f"{mariadb.name}_r"}
    server.execute(grant.format(**names))
    try:
        refused = maria_site.run("rehearse", "--check", code=2, **settings)
        assert_code(refused, "rehearsal-user-not-limited", database=mariadb.name)
    finally:
        server.execute(revoke.format(**names))
    assert maria_site.run("rehearse", "--check", **settings).changed > 0


HIDDEN = {
    "text in a variable": "op.execute(\"set @s = 'insert into {name}.item (id, name) values (71, 1)'\")\n"
    "op.execute('prepare s from @s')\nop.execute('execute s')",
    "double quotes": "op.execute('execute immediate \"drop table {name}.item\"')",
    "alias": "op.execute('create table {name} (id int)')\nop.execute('alter table {name} rename to {name}.stolen')",
    "new database": "op.execute('create database {name}_new')",
    "account": "op.execute(\"create user '{name}_u'@'%'\")",
    "another's account": "op.execute(\"set password for '{name}'@'%' = password('x')\")",
    "the server": "op.execute('set global max_connect_errors = 123')",
}


def everything(mariadb: MariaDBTarget) -> tuple[Any, ...]:
    """The database, and what there is beside it: databases, accounts and what these may do."""
    server = mariadb.database.server
    statements = ("show databases", "select * from mysql.global_priv", "select * from mysql.db")
    return (mariadb.dump(), *(sorted(server.execute(statement)) for statement in statements))


@pytest.mark.parametrize("body", list(HIDDEN.values()), ids=list(HIDDEN))
def test_a_statement_that_hides_what_it_names_changes_nothing(
    maria_site: Site, mariadb: MariaDBTarget, body: str
) -> None:
    source, settings = at_first(maria_site, mariadb)
    server = mariadb.database.server
    # The database's own user may do all of this.
    server.execute(f"grant all on *.* to '{mariadb.database.user}'@'%'")
    source.add("0003", "0002", body.format(name=mariadb.name))
    before, errors = everything(mariadb), server.execute("select @@global.max_connect_errors")
    refused = maria_site.run("rehearse", code=2, **settings)
    codes = {each.code for each in reported(refused)}
    assert codes <= {"revision-failed", "rehearsal-names-database"}, codes
    assert codes
    assert (everything(mariadb), server.execute("select @@global.max_connect_errors")) == (before, errors)


def grant_of(refused: Outcome) -> str:
    """The grant as it is printed, without what comes behind its semicolon."""
    texts = [each.text for each in reported(refused) if each.code == "rehearsal-privileges-missing"]
    grant, _semicolon, _rest = texts[0][texts[0].index("GRANT ALL PRIVILEGES ON") :].partition(";")
    assert "hosting\\_alembic\\_rehearsal\\_" in grant
    return grant


def test_a_downgrade_that_names_the_database_fails_the_rehearsal(maria_site: Site, mariadb: MariaDBTarget) -> None:
    source, settings = at_first(maria_site, mariadb)
    before = mariadb.dump()
    source.add("0003", "0002", "pass", f"op.execute('delete from {mariadb.name}.item')")
    refused = maria_site.run("rehearse", code=2, **settings)
    assert_code(refused, "rehearsal-names-database", database=mariadb.name)
    assert (mariadb.dump(), copies(mariadb.database.server)) == (before, [])


def test_a_downgrade_that_loses_history_is_lossy(maria_site: Site, mariadb: MariaDBTarget) -> None:
    source, settings = at_first(maria_site, mariadb)
    mariadb.rows("create table hist (id int primary key, v int) with system versioning")
    mariadb.rows("insert into hist values (1, 1)")
    mariadb.rows("update hist set v = 2")
    source.add("0003", "0002", "op.execute('delete history from hist')", "pass")
    results, _output = rehearsed(maria_site, **settings)
    result = results[mariadb.name]
    assert verdicts(result) == [("0002", "reversible"), ("0003", "lossy")], result
    assert [loss["table"] for loss in result["revisions"][1]["data_loss"]] == ["hist"]


HOLDS = """
op.execute("create table held (id int)")
import subprocess
name = op.get_bind().engine.url.database
words = ["mariadb", "-h{host}", "-P{port}", "-u{user}_r", name, "-e"]
words.append("start transaction; select * from held; select sleep(300)")
nothing = subprocess.DEVNULL
subprocess.Popen(
    words, env=dict(os.environ, MYSQL_PWD={password!r}), stdin=nothing, stdout=nothing, stderr=nothing,
    start_new_session=True,
)
time.sleep(2)
os.system("MYSQL_PWD={own} mariadb -h{host} -P{port} -u{user} {user} -e 'alter table item add more int'")
"""


def test_a_copy_that_is_left_hides_no_change_of_the_database_and_is_found_again(
    maria_site: Site, mariadb: MariaDBTarget
) -> None:
    source, settings = at_first(maria_site, mariadb)
    settings["migrate_lock_wait"] = 2
    server, database = mariadb.database.server, mariadb.database
    facts = {"host": server.host, "port": server.port, "user": database.user, "own": database.password}
    source.add("0003", "0002", HOLDS.format(password=mariadb.rehearses["rehearse_password"], **facts), None)
    try:
        failed = maria_site.run("rehearse", code=2, **settings)
        (left,) = copies(server)
        assert_code(failed, "rehearsal-database-changed", "more", left, database=mariadb.name)
        # A server that restarts reads there what the copy says of itself.
        assert "hosting.alembic rehearsal" in (server.data / left / "db.opt").read_text()
    finally:
        for (number,) in server.execute(
            f"select id from information_schema.processlist where user = '{database.user}_r'"
        ):
            server.execute(f"kill {number}")
    source.add("0003", "0002")
    rehearsed(maria_site, **settings)
    assert copies(server) == []


NAMED = [
    "op.execute(\"insert into {name}.item (id, name) values (70, 'x')\")",
    "op.add_column('item', sa.Column('more', sa.Integer), schema='{name}')",
    "op.execute('use {name}')\nop.execute('drop table item')",
    "op.execute(\"prepare s from 'drop table {name}.item'\")\nop.execute('execute s')",
    "op.execute('create trigger t after update on item for each row delete from {name}.item')",
    "op.get_bind().connection.cursor().execute('drop table /* ! */ {name}.item')",
    "op.get_bind().connection.driver_connection.select_db('{name}')\nop.execute('drop table item')",
]


def test_a_statement_that_names_the_database_in_full_is_not_sent(maria_site: Site, mariadb: MariaDBTarget) -> None:
    source, settings = at_first(maria_site, mariadb)
    server, other = mariadb.database.server, f"{mariadb.name}_2"
    server.create_database(other, owner=mariadb.database.user)
    server.execute("create table log (id int)", other)
    before = mariadb.dump(), server.dump(other)
    try:
        for body in NAMED:
            source.add("0003", "0002", body.format(name=mariadb.name))
            refused = maria_site.run("rehearse", code=2, **settings)
            assert_code(refused, "rehearsal-names-database", database=mariadb.name)
            assert (mariadb.dump(), server.dump(other)) == before, body
        # Of a database that the user may not see the server itself says no; also to what fires in the copy.
        source.add("0003", "0002", f"op.execute('insert into {other}.log values (1)')")
        refused = maria_site.run("rehearse", code=2, **settings)
        assert_code(refused, "revision-failed", "denied", database=mariadb.name)
        source.add("0003", "0002", "op.execute('update item set id = id + 100')")
        mariadb.rows(f"create trigger t after update on item for each row insert into {other}.log values (1)")
        refused = maria_site.run("rehearse", code=2, **settings)
        assert_code(refused, "revision-failed", "denied", database=mariadb.name)
        assert (server.dump(other), copies(server)) == (before[1], [])
    finally:
        server.drop_database(other)


OTHER_CONNECTION = """
engine = sa.create_engine({url!r})
with engine.begin() as other:
    other.execute(sa.text("insert into item (id, name) values (70, 'x')"))
"""
OTHER_DRIVER = """
import pymysql
from sqlalchemy.engine import make_url
url = make_url({url!r})
other = pymysql.connect(host=url.host, port=url.port, user=url.username, password=url.password, database=url.database)
other.cursor().execute("drop table item")
"""


@pytest.mark.parametrize("body", [OTHER_CONNECTION, OTHER_DRIVER], ids=["sqlalchemy", "driver"])
def test_a_connection_to_the_database_itself_is_read_only(maria_site: Site, mariadb: MariaDBTarget, body: str) -> None:
    source, settings = at_first(maria_site, mariadb)
    source.add("0003", "0002", body.format(url=mariadb.url))
    before = mariadb.dump()
    refused = maria_site.run("rehearse", code=2, **settings)
    assert_code(refused, "rehearsal-writes-elsewhere", database=mariadb.name)
    assert (mariadb.dump(), copies(mariadb.database.server)) == (before, [])


def test_what_a_program_changes_in_the_database_itself_is_reported(maria_site: Site, mariadb: MariaDBTarget) -> None:
    source, settings = at_first(maria_site, mariadb)
    server, words = mariadb.database.server, "os.system(\"MYSQL_PWD={} mariadb -h{} -P{} -u{} {} -e '{}'\")"
    user = (mariadb.database.password, server.host, server.port, mariadb.database.user, mariadb.name)
    source.add("0003", "0002", words.format(*user, "insert into item (id, name) values (80, 1)"))
    results, _output = rehearsed(maria_site, **settings)
    assert any("(item)" in note for note in results[mariadb.name]["notes"])
    assert mariadb.rows("select id from item where id = 80") == [(80,)]
    source.add("0003", "0002", words.format(*user, "alter table item add more int"))
    failed = maria_site.run("rehearse", code=2, **settings)
    assert_code(failed, "rehearsal-database-changed", "more", database=mariadb.name)
    assert copies(server) == []


def test_a_trigger_or_a_version_table_that_names_the_database_in_full(maria_site: Site, mariadb: MariaDBTarget) -> None:
    source, settings = at_first(maria_site, mariadb)
    name = mariadb.name
    mariadb.rows(f"create trigger t after update on item for each row update {name}.item set name = 'y' where id = 0")
    before = mariadb.dump()
    refused = maria_site.run("rehearse", code=2, **settings)
    assert_code(refused, "rehearsal-names-database", "trigger 1 of table item", database=name)
    assert (mariadb.dump(), copies(mariadb.database.server)) == (before, [])
    mariadb.rows("drop trigger t")
    before = mariadb.dump()
    given = "connection=connection, target_metadata=target_metadata"
    source.replace(given, f"{given}, version_table_schema={name!r}")
    refused = maria_site.run("rehearse", code=2, **settings)
    # The copy's user may not read there.
    assert_code(refused, "env-py-failed", "denied", "alembic_version", database=name)
    assert (mariadb.dump(), copies(mariadb.database.server)) == (before, [])


def test_an_administrator_does_not_rehearse(maria_site: Site, mariadb: MariaDBTarget) -> None:
    _source, settings = at_first(maria_site, mariadb)
    server = mariadb.database.server
    admin = {"rehearse_url": server.url(user=server.user), "rehearse_password": server.password}
    entries = [{**mariadb.entry, **admin}]
    refused = maria_site.run("rehearse", code=2, **{**settings, "migrate_databases": entries})
    assert_code(refused, "rehearsal-user-not-limited", "ON *.*", database=mariadb.name)
    assert server.password not in refused.output
    # The hash of a password is in the same line.
    assert "IDENTIFIED BY PASSWORD" not in refused.output


@pytest.mark.parametrize("name", ['quo"ted', "a.b", "it's `x` 100%"])
def test_databases_of_any_name(site: Site, mariadb_database: MariaDatabase, name: str) -> None:
    server, user = mariadb_database.server, mariadb_database.user
    quoted = "`" + name.replace("`", "``") + "`"
    server.execute(f"create database {quoted}; grant all on {quoted.replace('%', chr(92) + '%')}.* to '{user}'@'%'")
    target = MariaDBTarget(MariaDatabase(server, name, user, mariadb_database.password))
    target.name = "shop"
    site.variables["migrate_virtualenv"] = str(virtualenv("pymysql"))
    try:
        with limited_user(target, f"{user}_r"):
            source, settings = at_first(site, target)
            before = target.dump()
            results, _output = rehearsed(site, **settings)
            assert verdicts(results["shop"]) == [("0002", "reversible")]
            assert (target.dump(), copies(server)) == (before, [])
            source.add(
                "0003", "0002", f"op.get_bind().exec_driver_sql({f'drop table {quoted}.item'.replace('%', '%%')!r})"
            )
            refused = site.run("rehearse", code=2, **settings)
            assert_code(refused, "rehearsal-names-database", database="shop")
            assert (target.dump(), copies(server)) == (before, [])
    finally:
        server.execute(f"drop database {quoted}")


def test_an_environment_variable_with_a_placeholder_leads_to_the_copy(maria_site: Site, mariadb: MariaDBTarget) -> None:
    source: Source = maria_site.source("elsewhere")
    url = mariadb.url
    settings: dict[str, Any] = {"migrate_source": source}
    settings["migrate_databases"] = [{**mariadb.entry, "environment": {"ELSEWHERE_URL": url}}]
    assert_code(
        maria_site.run("rehearse", code=2, **settings), "rehearsal-url-literal", "ELSEWHERE_URL", database=mariadb.name
    )
    settings["migrate_databases"] = [{**mariadb.entry, "environment": {"ELSEWHERE_URL": "{url}"}}]
    results, _output = rehearsed(maria_site, **settings)
    assert results[mariadb.name]["outcome"] == "rehearsed"
    assert (mariadb.tables(), copies(mariadb.database.server)) == ([], [])
