"""Databases of SQLite as public bug reports describe them: what fails is undone, and what is lost is named."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.module_utils._migration.test_env_variants import CONNECT, RUN, START
from tests.unit.stage import Host, database, heads, script, sql, tables

BATCH = """
    with op.batch_alter_table({table!r}, recreate="always") as batch:
        batch.alter_column("name", existing_type=sa.Text, nullable=False)
"""
FOREIGN_KEYS = """
from sqlalchemy.engine import Engine
@event.listens_for(Engine, "connect")
def connected(connection, _record):
    connection.execute("pragma foreign_keys = on")
"""
#: A batch drops the table first; then SQLite refuses to rename the new one, because the view names it.
SEEN = """
create table page (id integer primary key, name text);
create view titles as select name from page;
insert into page values (1, 'one'), (2, 'two');
"""
#: One index of the full text is kept in the table itself, one nowhere.
SEARCHED = """
create table page (id integer primary key, name text);
create virtual table found using fts5 (name, content = 'page', content_rowid = 'id');
create virtual table bare using fts5 (name, content = '');
create trigger page_added after insert on page begin
  insert into found (rowid, name) values (new.id, new.name);
  insert into bare (rowid, name) values (new.id, new.name);
end;
insert into page (name) values ('red fox'), ('blue whale');
"""


def dump(file: Path) -> list[str]:
    """What SQLite's own program prints of all but the version table."""
    text = subprocess.run(["sqlite3", str(file), ".dump"], check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if "alembic_version" not in line]


def shipped(host: Host, env_py: str = "") -> None:
    source = host.layout.release(host.ship("generic")) / "source" / "migrations"
    (source / "env.py").write_text(START + env_py + RUN + CONNECT)


#: Fails after it has added to each index, and made a third.
ADDS = (
    "op.execute(\"insert into page (name) values ('green frog')\");"
    " op.execute(\"create virtual table parts using fts5 (name, tokenize = 'trigram')\");"
    " op.execute('insert into parts select name from page'); op.execute('update nowhere set a = 1')"
)


@pytest.mark.parametrize(
    ("content", "upgrade"),
    [(SEEN, BATCH.format(table="page")), (SEARCHED, ADDS)],
    ids=["a view of a table that a batch rebuilds", "full text"],
)
def test_what_a_failed_revision_did_is_undone(host: Host, file: Path, content: str, upgrade: str) -> None:
    shipped(host)
    script(file, content)
    before = dump(file)
    assert host.result("upgrade", database(file), run="r0")["outcome"] == "upgraded"
    at_second = dump(file)
    host.revise("generic", "0003", "0002", upgrade)

    assert host.result("upgrade", database(file))["outcome"] == "failed"
    result = host.result("downgrade", database(file))

    assert result["outcome"] in ("restored", "downgraded", "untouched"), result
    assert (dump(file), heads(file)) == (at_second, ["0002"])
    if content == SEARCHED:
        assert sql(file, "select rowid from found where found match 'whale'") == [(2,)]
        assert sql(file, "select rowid from bare where bare match 'frog'") == []
    assert set(before) <= set(at_second)


def test_full_text_is_rehearsed(host: Host, file: Path) -> None:
    shipped(host)
    script(file, SEARCHED)
    before = file.read_bytes()
    host.revise(
        "generic", "0003", "0002", "op.add_column('page', sa.Column('at', sa.Text))", "op.drop_column('page', 'at')"
    )

    result = host.result("rehearse", database(file))

    assert (result["outcome"], result["error"]) == ("rehearsed", None)
    assert {each["verdict"] for each in result["revisions"]} == {"reversible"}, result["revisions"]
    assert file.read_bytes() == before


def test_children_that_a_batch_of_their_parent_deletes_are_named(host: Host, file: Path) -> None:
    shipped(host, FOREIGN_KEYS)
    script(
        file,
        "create table parent (id integer primary key, name text);"
        "create table child (id integer primary key, parent integer references parent (id) on delete cascade);"
        "insert into parent values (1, 'one'); insert into child values (1, 1), (2, 1)",
    )
    host.revise("generic", "0003", "0002", BATCH.format(table="parent"))

    result = host.result("upgrade", database(file))

    assert sql(file, "select count(*) from child") == [(0,)]  # as by Alembic itself, which reports nothing
    assert (result["outcome"], result["lost_rows"]) == ("upgraded", {"child": [2, 0]})
    copy = Path(result["backup"]["path"]) / result["backup"]["dump"]
    assert sql(copy, "select id from child") == [(1,), (2,)]


def test_a_rollback_that_fails_half_way_leaves_the_file_as_before_it(host: Host, file: Path) -> None:
    shipped(host)
    script(file, "create table mine (a); insert into mine values (1)")
    host.revise("generic", "0003", "0002", "op.execute('create table three (a)')", "raise AttributeError('no')")
    fourth = "op.execute('create table four as select 4 as a')"
    host.revise("generic", "0004", "0003", fourth, "op.execute('drop table four')")
    assert host.result("upgrade", database(file))["outcome"] == "upgraded"
    before = dump(file)

    result = host.result("rollback", database(file), run="back", of_run="r1")

    assert (result["outcome"], result["after"]) == ("failed", ["0004"]), result
    assert "four" in tables(file)
    assert (dump(file), heads(file)) == (before, ["0004"])
