"""Revisions of MariaDB that fail in their middle: what their statements have committed is undone by a restore."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.codes import assert_code
from tests.integration.site import PLAYBOOKS, Site
from tests.integration.targets import MariaDBTarget
from tests.integration.test_failure import reverted
from tests.integration.virtualenvs import virtualenv
from tests.lab import ansible
from tests.lab.processes import holding
from tests.lab.waiting import wait_until
from tests.unit.module_utils._engines.mariadb.test_written_tables import without_rows, writing

#: Each statement commits by itself; between them the revision says how far it is, and waits.
HALF = """
op.create_table("made", sa.Column("id", sa.Integer, primary_key=True))
op.add_column("item", sa.Column("more", sa.String(20)))
{rows}
op.execute("create index by_name on item (name)")
op.execute("drop trigger shout")
op.execute("create view names as select name from item")
open({reached!r}, "w").close()
while not os.path.exists({gate!r}):
    time.sleep(0.05)
"""
ROWS = "op.execute(\"update item set name = concat(name, '!')\")"
FAILS = 'op.execute("alter table there_is_no_such_table add column x int")'
#: As the database's own user makes it.
_OBJECTS = (
    "create table parts (id int primary key) partition by range (id) (partition low values less than (10))",
    "insert into parts values (1)",
    "create trigger shout before insert on item for each row set new.note = 'x'",
)


@pytest.fixture
def maria_site(site: Site, mariadb: MariaDBTarget) -> Any:
    """A site whose database may be restored, and whose counters may be read."""
    site.variables["migrate_virtualenv"] = str(virtualenv("pymysql"))
    site.variables["migrate_databases"] = [mariadb.entry]
    server, user = mariadb.database.server, mariadb.database.user
    server.execute(f"grant all on `hosting\\_alembic\\_%`.* to '{user}'@'%'; grant process on *.* to '{user}'@'%'")
    yield site
    for name in retained(mariadb):
        server.execute(f"set foreign_key_checks = 0; drop database `{name}`")


def retained(mariadb: MariaDBTarget) -> list[str]:
    statement = (
        "select table_schema from information_schema.tables where table_name = 'item'"
        " and table_schema like 'hosting\\_alembic\\_%'"
    )
    return [name for (name,) in mariadb.database.server.execute(statement)]


class Gate:
    """Where the revision says that it has come to its middle, and what lets it go on."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o777)
        self.reached, self.gate = folder / "reached", folder / "gate"

    def settings(self, site: Site, mariadb: MariaDBTarget, rows: str, last: str) -> dict[str, Any]:
        """Bring the database to the revision before, with rows in it, and return what runs the one with the gate."""
        site.run("migrate", migrate_source=site.source("generic", "older").keep("0001", "0002"))
        mariadb.fill()
        for statement in _OBJECTS:
            mariadb.rows(statement)
        body = HALF.format(rows=rows, reached=str(self.reached), gate=str(self.gate)) + last
        return {"migrate_source": site.source("generic", "newer").keep("0001", "0002").add("0003", "0002", body)}

    def kill_in_the_middle(self, site: Site, settings: dict[str, Any]) -> None:
        """Run the revision up to its middle, kill ansible-playbook and all workers, and let the revision go on."""
        with site.start("migrate", migrate_run="killed", **settings) as running:
            wait_until(self.reached.exists, "the revision has come to its middle")
            running.kill()
        for pid in holding(site.root / "workers"):
            os.kill(pid, signal.SIGKILL)
        self.gate.touch()


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    return Gate(tmp_path_factory.mktemp("gate"))


def test_a_revision_that_fails_in_its_middle_is_undone_to_the_letter(
    maria_site: Site, mariadb: MariaDBTarget, gate: Gate
) -> None:
    settings = gate.settings(maria_site, mariadb, ROWS, FAILS)
    gate.gate.touch()
    before = mariadb.dump()
    outcome = maria_site.run("migrate", code=2, **settings)
    assert_code(outcome, "revision-failed", "0003", "there_is_no_such_table", database=mariadb.name)
    assert gate.reached.exists()
    assert reverted(maria_site, mariadb) == ("restored", ["0002"])
    assert mariadb.dump() == before
    (kept,) = retained(mariadb)
    assert mariadb.database.server.execute("select count(*) from item where name like '%!'", kept) == [["3"]]


def test_what_another_session_wrote_holds_the_database_and_the_printed_command_brings_the_old_back(
    maria_site: Site, mariadb: MariaDBTarget, gate: Gate
) -> None:
    settings = gate.settings(maria_site, mariadb, ROWS, FAILS)
    before = mariadb.dump()
    with maria_site.start("migrate", **settings) as running:
        wait_until(gate.reached.exists, "the revision has come to its middle")
        mariadb.rows("insert into item (id, name) values (77, 'by another session')")
        gate.gate.touch()
        running.end(code=2, seconds=300)
    assert reverted(maria_site, mariadb) == ("held", ["0002"])
    assert mariadb.rows("select name from item where id = 77") == [("by another session",)]
    ways = next(event["ways_out"] for event in maria_site.events(mariadb.name) if event["event"] == "held")
    assert set(ways) == {"back", "forward"}

    words = shlex.split(ways["back"])
    assert words[:2] == ["ansible-playbook", "playbooks/restore.yml"]
    ansible.playbook(PLAYBOOKS / "restore.yml", *words[2:], inventory=maria_site.inventory(**settings)).ended(0)
    assert mariadb.dump() == before
    (kept,) = retained(mariadb)
    assert mariadb.database.server.execute("select name from item where id = 77", kept) == [["by another session"]]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(ROWS, id="rows"),
        pytest.param("", id="without PROCESS", marks=pytest.mark.exhaustive),
        pytest.param('op.execute("drop table parts")', id="a table", marks=pytest.mark.exhaustive),
        pytest.param('op.execute("alter table item drop column note")', id="a column", marks=pytest.mark.exhaustive),
        pytest.param('op.execute("truncate table item")', id="all rows", marks=pytest.mark.exhaustive),
        pytest.param('op.execute("rename table parts to pieces")', id="a name", marks=pytest.mark.exhaustive),
        pytest.param(
            'op.execute("alter table item modify name varchar(300)")', id="a type", marks=pytest.mark.exhaustive
        ),
    ],
)
def test_the_database_of_a_user_who_owns_nothing_else_is_restored_within_itself(
    maria_site: Site, mariadb: MariaDBTarget, gate: Gate, body: str
) -> None:
    server, user = mariadb.database.server, mariadb.database.user
    server.execute(f"revoke all on `hosting\\_alembic\\_%`.* from '{user}'@'%'")
    if not body:
        server.execute(f"revoke process on *.* from '{user}'@'%'")
    settings = gate.settings(maria_site, mariadb, body, FAILS)
    gate.gate.touch()
    before, schemas = mariadb.dump(), server.execute("show databases")
    maria_site.run("ship", **settings)
    assert "ould not be restored" not in maria_site.run("plan", **settings).output

    assert_code(maria_site.run("migrate", code=2, **settings), "revision-failed", database=mariadb.name)
    assert reverted(maria_site, mariadb) == ("restored", ["0002"])
    assert mariadb.dump() == before
    assert server.execute("show databases") == schemas
    (kept,) = {event["retained"] for event in maria_site.events(mariadb.name) if event["event"] == "restored"}
    assert [table for table in mariadb.tables() if table.startswith(kept)]

    # The next run is as on a database without retained tables, and one of them is dropped when it is old enough.
    outcome = maria_site.run("migrate", **{**settings, "migrate_retry_failed": [mariadb.name]}, code=2)
    assert_code(outcome, "revision-failed", database=mariadb.name)
    assert mariadb.dump() == before
    maria_site.run("prune", migrate_prune=True, migrate_prune_days=0, **settings)
    assert not [table for table in mariadb.tables() if table.startswith("hosting_alembic_")]
    assert mariadb.dump() == before


def test_rows_of_others_stay_where_the_failed_revision_has_not_written(
    maria_site: Site, mariadb: MariaDBTarget, gate: Gate
) -> None:
    settings = gate.settings(maria_site, mariadb, "pass", FAILS)
    mariadb.rows("create table visits (id int primary key)")
    before = without_rows(mariadb.dump(), "visits")
    with maria_site.start("migrate", **settings) as running, writing(mariadb, "insert into visits values ({})") as rows:
        wait_until(gate.reached.exists, "the revision has come to its middle")
        gate.gate.touch()
        running.end(code=2, seconds=300)
    assert reverted(maria_site, mariadb) == ("restored", ["0002"])
    assert mariadb.rows("select count(*) from visits") == [(rows[0],)]
    assert rows[0] > 0
    assert without_rows(mariadb.dump(), "visits") == before


def test_a_worker_that_was_killed_in_the_middle_is_recovered_and_the_next_run_is_at_head(
    maria_site: Site, mariadb: MariaDBTarget, gate: Gate
) -> None:
    settings = gate.settings(maria_site, mariadb, "pass", "")
    gate.kill_in_the_middle(maria_site, settings)
    maria_site.run("migrate", **settings)
    assert mariadb.revisions == ["0003"]
    assert mariadb.rows("select count(*) from item") == [(3,)]
    assert mariadb.rows("select * from parts") == [(1,)]


def test_a_worker_that_was_killed_is_recovered_while_others_write_elsewhere(
    maria_site: Site, mariadb: MariaDBTarget, gate: Gate
) -> None:
    settings = gate.settings(maria_site, mariadb, "pass", "")
    mariadb.rows("create table visits (id int primary key)")
    with writing(mariadb, "insert into visits values ({})") as rows:
        gate.kill_in_the_middle(maria_site, settings)
        maria_site.run("migrate", **settings)
    assert mariadb.revisions == ["0003"]
    assert mariadb.rows("select count(*) from visits") == [(rows[0],)]
    assert rows[0] > 0
