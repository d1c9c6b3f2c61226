"""Databases that are found on the host, by real playbooks."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from tests.codes import assert_code
from tests.integration.site import Site, printed
from tests.integration.targets import MariaDBTarget, PostgresTarget, SQLiteTarget, program
from tests.integration.virtualenvs import virtualenv
from tests.lab import PROJECT, ansible
from tests.lab.ansible import Outcome


def make_files(folder: Path, *names: str) -> dict[str, SQLiteTarget]:
    """Make empty SQLite databases, each in a folder of its own."""
    made = {}
    for name in names:
        path = folder / name / "app.db"
        path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("create table kept (id integer)")
        made[name] = SQLiteTarget(path, name)
    return made


def files_in(folder: Path, **more: Any) -> dict[str, Any]:
    template = {"name": "{folder}", "url": "sqlite:///{path}", **more.pop("template", {})}
    return {"name": "sites", "files": [f"{folder}/*/app.db"], "template": template, **more}


def revisions(targets: dict[str, SQLiteTarget]) -> dict[str, list[str]]:
    return {name: target.revisions for name, target in targets.items()}


def kept(site: Site, part: str) -> list[dict[str, Any]]:
    """The lists below the root, the oldest first."""
    paths = sorted((site.root / "discovered" / part).glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text()) for path in paths]


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    return tmp_path / "sites"


@pytest.fixture
def found(site: Site, sites: Path) -> Site:
    """A host with nothing listed, whose files are found."""
    site.variables.update(migrate_source=str(site.source("generic").folder), migrate_discover=[files_in(sites)])
    return site


def plan_of(outcome: Outcome) -> dict[str, Any]:
    return outcome.results("Plan every database")[-1]


def test_files_are_found_planned_migrated_and_rolled_back(found: Site, sites: Path) -> None:
    targets = make_files(sites, "one", "two", "three")
    make_files(sites, "skipped")
    found.variables["migrate_discover"] = [files_in(sites, exclude=["skip*"])]

    found.run("migrate", "--check")
    assert kept(found, "runs") == []
    outcome = found.run("migrate", migrate_run="first")
    assert {entry["name"] for entry in plan_of(outcome)["databases"]} == set(targets)
    heads = revisions(targets)
    assert heads["one"]
    assert heads["one"] == heads["two"] == heads["three"]
    assert SQLiteTarget(sites / "skipped" / "app.db").tables() == ["kept"]
    (of_run,) = kept(found, "runs")
    assert (of_run["run"], [row["name"] for row in of_run["sources"]["sites"]]) == ("first", ["one", "three", "two"])
    manifest = json.loads((Path(found.variables["migrate_manifests"]) / "first.json").read_text())
    assert manifest["hosts"]["here"]["found"] == {"sites": ["one", "three", "two"]}

    before = found.tree()
    outcome = found.run("plan")
    assert found.tree() == before
    assert [len(plan_of(outcome)[key]) for key in ("databases", "refusals")] == [3, 0]

    # Its databases are those of the run, whatever lies there now.
    make_files(sites, "four", "five", "six")
    found.run("rollback", migrate_rollback_run="first")
    assert set(map(tuple, revisions(targets).values())) == {()}
    assert kept(found, "last")[-1]["run"] == "first"


def test_a_list_that_shrank_by_half_is_refused_and_nothing_changes(found: Site, sites: Path) -> None:
    targets = make_files(sites, "a", "b", "c", "d")
    found.run("migrate", migrate_run="first")
    found.variables["migrate_source"] = str(found.source("generic", "newer").add("0099", "0002").folder)
    for gone in ("c", "d"):
        (sites / gone).rename(sites.with_name(f"was-{gone}"))
    before, tree = revisions(targets | {}), found.tree()

    for verb in ("plan", "migrate"):
        outcome = found.run(verb, code=2)
        assert "[discovery-changed]" in outcome.output
        assert printed_lists(outcome.output) == ("c, d", "none", "a, b, c, d", "a, b")
    assert {name: targets[name].revisions for name in ("a", "b")} == {name: before[name] for name in ("a", "b")}
    assert found.tree() == tree

    found.run("migrate", "-e", "migrate_discover_accept=true")
    assert {name: targets[name].revisions for name in ("a", "b")} == {"a": ["0099"], "b": ["0099"]}
    assert [row["name"] for row in kept(found, "last")[-1]["rows"]] == ["a", "b"]


def printed_lists(output: str) -> tuple[str, ...]:
    match = re.search(r"gone: (.*?); new: (.*?); then: (.*?); now: (.*?)\.", " ".join(output.split()))
    assert match, output
    return match.groups()


def test_an_empty_answer_is_refused(found: Site, sites: Path) -> None:
    sites.mkdir()
    assert "[discovery-too-few]" in found.run("migrate", code=2).output
    sites.rmdir()
    assert "[discovery-failed]" in found.run("migrate", code=2).output
    assert not (found.root / "discovered").exists()


def test_only_some_of_the_databases(found: Site, sites: Path) -> None:
    targets = make_files(sites, "t1", "t2", "other")
    listed = SQLiteTarget(sites.with_name("listed.db"), "t-listed")
    found.variables["migrate_databases"] = [listed.entry]
    only = "migrate_only=t*"

    found.run("ship")
    outcome = found.run("plan", "-e", only)
    assert [entry["name"] for entry in plan_of(outcome)["databases"]] == ["t-listed", "t1", "t2"]
    found.run("migrate", "-e", "migrate_only=t1,t-listed", migrate_run="first")
    assert [bool(target.revisions) for target in (*targets.values(), listed)] == [True, False, False, True]
    found.run("migrate", "-e", '{"migrate_only": ["t?"]}')
    assert [bool(target.revisions) for target in targets.values()] == [True, True, False]
    # The whole list is kept, so that the next run does not take the others for new.
    assert {len(each["rows"]) for each in kept(found, "last")} == {3}

    found.run("backup", "-e", only)
    assert {path.name for path in (found.root / "backups").iterdir()} == {"t-listed", "t1", "t2"}
    for verb in ("plan", "backup", "status"):
        outcome = found.run(verb, "-e", "migrate_only=t1,othr", code=2)
        assert_code(outcome, "selection-unmatched", "othr")
        assert "the nearest: other" in outcome.output
    outcome = found.run("status", "-e", "migrate_only=t1")
    assert [entry["name"] for entry in outcome.results("Read the status")[-1]["databases"]] == ["t1"]
    outcome = found.run("backups", "-e", "migrate_only=t1,other")
    assert [entry["name"] for entry in outcome.results("List the backups")[-1]["databases"]] == ["other", "t1"]
    found.run("restore", "-e", "migrate_only=t1", migrate_restore_run="first")
    assert [bool(target.revisions) for target in (*targets.values(), listed)] == [False, True, False, True]


def test_a_run_that_goes_on_uses_its_list(found: Site, sites: Path) -> None:
    targets = make_files(sites, "a", "b")
    found.run("migrate", "-e", "migrate_only=a", migrate_run="window")
    targets |= make_files(sites, "c", "d", "e")

    found.run("migrate", migrate_run="window")

    assert [bool(target.revisions) for target in targets.values()] == [True, True, False, False, False]
    found.run("migrate", code=2)


def test_a_hostile_name_stops_no_other_database(found: Site, sites: Path) -> None:
    targets = make_files(sites, "good", "bad\nname", "with space;$(x)")
    (sites / "linked").symlink_to(sites / "good")

    outcome = found.run("migrate", code=2)

    assert "[discovery-row-unfit]" in outcome.output
    assert [bool(target.revisions) for target in targets.values()] == [True, False, True]
    names = [row["name"] for row in kept(found, "last")[-1]["rows"]]
    assert len(names) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)


def panel(site: Site, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A source whose answer is these rows."""
    path = site.folder / "rows.json"
    path.write_text(json.dumps(rows))
    template = {"name": "{id}", "url": "sqlite:///{path}", **more.pop("template", {})}
    return {"name": "panel", "command": ["/bin/cat", str(path)], "template": template, "maximum_change": 1000, **more}


def put(target: SQLiteTarget, value: int) -> None:
    with closing(sqlite3.connect(target.path)) as connection, connection:
        connection.execute("insert into kept values (?)", (value,))


def test_the_name_and_the_backups_of_a_database_that_is_gone_are_not_those_of_another(found: Site, sites: Path) -> None:
    old, new = make_files(sites / "old", "shop")["shop"], make_files(sites / "new", "shop")["shop"]
    rows = [{"id": "shop", "path": str(target.path)} for target in (old, new)]
    put(old, 1)
    put(new, 2)
    found.run("migrate", migrate_discover=[panel(found, rows[:1])])
    found.run("migrate", migrate_discover=[panel(found, rows)])
    source = panel(found, rows[1:])
    found.run("migrate", migrate_discover=[source])

    (name,) = {row["name"] for row in kept(found, "last")[-1]["rows"]}
    assert name != "shop"
    words: dict[str, Any] = {"migrate_discover": [source], "migrate_restore_loses_writes": True}
    found.run("restore", migrate_restore_databases=["shop"], code=2, **words)
    found.run("restore", migrate_restore_databases=[name], **words)
    assert (new.rows("select id from kept"), new.revisions) == ([(2,)], [])
    assert (old.rows("select id from kept"), old.revisions) == ([(1,)], ["0002"])


def test_a_row_does_not_lead_out_of_its_folder_and_a_corrected_answer_is_taken(found: Site, sites: Path) -> None:
    target, victim = make_files(sites, "one")["one"], make_files(sites.with_name("other"), "victim")["victim"]
    template = {"url": f"sqlite:///{sites}/{{id}}/app.db"}
    rows: list[dict[str, Any]] = [{"id": "one"}, {"id": "../other/victim"}, {"id": "."}, {"id": None}, {"id": None}]

    outcome = found.run("migrate", migrate_discover=[panel(found, rows, template=template)], code=2)

    assert (target.revisions, victim.tables(), (sites / "app.db").exists()) == (["0002"], ["kept"], False)
    # What is printed queries the source once more.
    (line,) = [line for line in outcome.output.splitlines() if line.strip().startswith("Next:")]
    panel(found, rows[:1])
    words = shlex.split(line.partition("then: ")[2])
    assert program(ansible.BIN / words[0], *words[1:], cwd=PROJECT).returncode == 0


def test_a_held_database_that_is_found_no_more_is_named(found: Site, sites: Path) -> None:
    targets = make_files(sites, "one", "two")
    source = found.source("generic", "broken").add(
        "0003", "0002", "if '/two/' in str(op.get_bind().engine.url):\n    raise RuntimeError('no')"
    )
    found.variables.update(migrate_source=str(source.folder), migrate_on_failure="hold")
    found.variables["migrate_discover"] = [files_in(sites, maximum_change=100)]
    found.run("migrate", code=2)
    before = targets["two"].dump()
    (sites / "two").rename(sites.with_name("moved"))

    for verb, code in (("migrate", 0), ("status", 0)):
        outcome = found.run(verb, "-e", "migrate_only=one", code=code)
        assert re.search(r"\[WARNING\]: (here: )?two: ", printed(outcome.output)), outcome.output
    assert (SQLiteTarget(sites.with_name("moved") / "app.db").dump(), targets["two"].path.exists()) == (before, False)
    (sites.with_name("moved")).rename(sites / "two")
    assert "and no source finds it" not in printed(found.run("migrate", code=2).output)


def test_a_list_that_the_plan_refuses_is_not_the_last_one(found: Site, sites: Path) -> None:
    targets = make_files(sites, "one", "two")
    (sites / "linked").mkdir()
    (sites / "linked" / "app.db").hardlink_to(targets["one"].path)
    found.run("ship")

    outcome = found.run("migrate", code=2, migrate_run="first")

    assert "[database-linked-twice]" in outcome.output
    assert revisions(targets) == {"one": [], "two": []}
    assert kept(found, "runs") == kept(found, "last") == []
    (sites / "linked" / "app.db").unlink()
    found.run("migrate", migrate_run="first")
    assert revisions(targets) == {"one": ["0002"], "two": ["0002"]}


def test_a_file_that_is_removed_after_the_plan_is_not_made_anew(found: Site, sites: Path) -> None:
    targets = make_files(sites, "one", "two")
    removes = found.folder / "remove.yml"
    removes.write_text(f"- name: Remove\n  ansible.builtin.file: {{path: {targets['two'].path}, state: absent}}\n")

    outcome = found.run("migrate", code=2, migrate_before_upgrade=removes)

    assert "[database-gone]" in outcome.output
    assert (targets["one"].revisions, targets["two"].path.exists()) == (["0002"], False)


def test_a_command_lists_databases_and_its_secrets_are_masked(found: Site, sites: Path) -> None:
    targets = make_files(sites, "one")
    rows = [{"id": "one", "file": str(targets["one"].path), "token": "hunter2-hunter2"}]
    listing = sites / "list"
    listing.write_text(f"#!/bin/sh\necho '{json.dumps(rows)}'\n")
    listing.chmod(0o755)
    template = {"name": "{id}", "url": "sqlite:///{file}", "environment": {"TOKEN": "{token}"}}
    source = {"name": "panel", "command": [str(listing)], "template": template}

    outcome = found.run("migrate", "-vvv", migrate_discover=[source])

    assert targets["one"].revisions
    assert "hunter2" not in outcome.output
    listing.write_text("#!/bin/sh\nsleep 60\n")
    assert "[discovery-failed]" in found.run("migrate", migrate_discover=[{**source, "timeout": 1}], code=2).output
    listing.write_text("#!/bin/sh\necho '{}'\n")
    assert "[discovery-answer-invalid]" in found.run("migrate", migrate_discover=[source], code=2).output


@pytest.fixture
def customers(more_postgres: Callable[[], PostgresTarget]) -> list[PostgresTarget]:
    return [more_postgres() for _number in range(3)]


def pg_source(control: PostgresTarget, target: PostgresTarget, **more: Any) -> dict[str, Any]:
    """A source whose answer is each database of the server that a test made, by its owner."""
    url = make_url(control.url)
    here = make_url(target.url)
    text = here.set(username="OWNER", password=None, database="DATABASE").render_as_string(hide_password=False)
    text = text.replace("OWNER", "{owner}").replace("DATABASE", "{datname}")
    template = {"name": "{datname}", "url": text, "password": "{password}"}
    return {
        "name": "server",
        "sql": "select datname, owner, password, note from customers order by datname;",
        "url": url.set(password=None).render_as_string(hide_password=False),
        "password": url.password,
        "template": template,
        **more,
    }


def test_a_statement_lists_databases_of_a_server(
    found: Site, postgres: PostgresTarget, customers: list[PostgresTarget]
) -> None:
    postgres.rows("create table customers (datname text, owner text, password text, note text)")
    for target in customers:
        database = target.database
        words = f"'{database.name}', '{database.user}', '{database.password}', E'two\\nlines'"
        postgres.rows(f"insert into customers values ({words})")
    source = pg_source(postgres, customers[0])

    outcome = found.run("migrate", "-vvv", migrate_discover=[source], migrate_run="first")

    assert [target.revisions for target in customers] == [["0002"]] * 3
    assert postgres.revisions == []
    output = outcome.output
    assert [target.name for target in customers if target.database.password in output] == []
    assert postgres.database.password not in output
    (of_run,) = kept(found, "runs")
    assert set(of_run["sources"]["server"][0]["values"]) == {"datname", "owner", "password"}
    assert (found.root / "discovered" / "runs" / "first.json").stat().st_mode & 0o077 == 0

    # Half of them, by a broken query: nothing changes, and the run that is rolled back knows all.
    broken = {**source, "sql": "select datname, owner, password from customers order by 1 limit 1"}
    assert "[discovery-changed]" in found.run("migrate", migrate_discover=[broken], code=2).output
    writing = {**source, "sql": "delete from customers returning datname, owner, password"}
    assert "[discovery-failed]" in found.run("migrate", migrate_discover=[writing], code=2).output
    found.run("rollback", migrate_discover=[broken], migrate_rollback_run="first")
    assert [target.revisions for target in customers] == [[]] * 3


def test_a_statement_lists_databases_of_a_mariadb_server(
    found: Site, mariadb: MariaDBTarget, more_mariadb: Callable[[], MariaDBTarget]
) -> None:
    customers = [more_mariadb() for _number in range(2)]
    mariadb.rows("CREATE TABLE customers (name varchar(64), owner varchar(64), password varchar(64), note text)")
    for target in customers:
        database = target.database
        words = f"'{database.name}', '{database.user}', '{database.password}', 'two\\nlines & <more>'"
        mariadb.rows(f"INSERT INTO customers VALUES ({words})")
    server = mariadb.database.server
    source = {
        "name": "server",
        "sql": "select name, owner, password, note from customers where owner is not null order by name;",
        "url": f"mysql://{mariadb.database.user}@{server.host}:{server.port}/{mariadb.name}",
        "password": mariadb.database.password,
        "template": {
            "name": "{name}",
            "url": f"mysql+pymysql://{{owner}}@{server.host}:{server.port}/{{name}}",
            "password": "{password}",
        },
    }
    found.variables["migrate_virtualenv"] = str(virtualenv("pymysql"))

    outcome = found.run("migrate", "-vvv", migrate_discover=[source], migrate_run="first")

    assert [target.revisions for target in customers] == [["0002"]] * 2
    assert mariadb.tables() == ["customers"]
    secrets = [each.database.password for each in (mariadb, *customers)]
    assert [secret for secret in secrets if secret in outcome.output] == []
    (of_run,) = kept(found, "runs")
    assert set(of_run["sources"]["server"][0]["values"]) == {"name", "owner", "password"}

    broken = {**source, "sql": "select name, owner, password from customers order by 1 limit 1"}
    assert "[discovery-changed]" in found.run("migrate", migrate_discover=[broken], code=2).output
    writing = {**source, "sql": "delete from customers returning name, owner, password"}
    assert "[discovery-failed]" in found.run("migrate", migrate_discover=[writing], code=2).output
    open_comment = {**source, "sql": "select 1) as a; /* nothing behind it is executed"}
    assert "[discovery-failed]" in found.run("migrate", migrate_discover=[open_comment], code=2).output
    assert mariadb.rows("SELECT count(*) FROM customers") == [(2,)]


def test_one_database_by_two_addresses_is_refused(found: Site, customers: list[PostgresTarget]) -> None:
    target = customers[0]
    row = {"name": "found", "url": target.url.replace(f"@{make_url(target.url).host}", "@localhost")}
    assert row["url"] != target.url
    listing = ["/bin/echo", json.dumps([row])]
    source = {"name": "panel", "command": listing, "template": {"name": "{name}", "url": "{url}"}}
    found.run("ship", migrate_discover=[source], migrate_databases=[target.entry])

    outcome = found.run("migrate", migrate_discover=[source], migrate_databases=[target.entry], code=2)

    assert "[discovery-same-database]" in outcome.output
    assert target.revisions == []


def test_mistakes_are_named_before_a_host_is_touched(found: Site, sites: Path) -> None:
    wrong = {**files_in(sites, template={"name": "app", "passwd": "x"}), "sql": "select 1", "maximum": 3}
    outcome = found.run("plan", migrate_discover=[wrong], code=2)
    assert "unknown key 'maximum'" in outcome.output
    assert "unknown key 'passwd'" in outcome.output
    assert not outcome.results("Plan every database")
