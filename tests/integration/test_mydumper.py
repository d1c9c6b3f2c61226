"""Backups of MariaDB by mydumper, with the scripts and the grant of docs/how_to/mydumper.md, unchanged."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.codes import assert_code
from tests.integration.site import Site
from tests.integration.targets import MariaDBTarget
from tests.integration.test_failure import reverted
from tests.integration.typed import printed, typed
from tests.integration.virtualenvs import virtualenv
from tests.lab import PROJECT

PAGE = (PROJECT / "docs" / "how_to" / "mydumper.md").read_text()
FOLDER = "/usr/local/bin/"
#: What a restore by mydumper's own dump of them would change: the mode of a trigger, the time zone of an event.
OBJECTS = """
set sql_mode = 'ANSI_QUOTES';
create trigger stamps before insert on item for each row set new.name = coalesce(new.name, "name");
set sql_mode = default;
create event tidy on schedule every 1 day do delete from item where id < 0;
create table parents (id int primary key, at timestamp, made decimal(5,2) as (id / 3) stored, data blob, text
  varchar(40) character set latin1);
create table children (id int, constraint a foreign key (id) references parents (id));
create view names as select name from item;
create procedure one() select 1;
create sequence numbers start with 5;
insert into parents (id, at, data, text) values (1, '2020-01-01', x'00ff270a', 'größe');
insert into children values (1);
select nextval(numbers);
"""
LEAVES_ROWS = "op.execute(\"update item set name = concat(name, '!')\"); op.execute('create table half (id int)')"


@pytest.fixture
def dumped(site: Site, mariadb: MariaDBTarget, tmp_path: Path) -> dict[str, Any]:
    """The settings of a database with rows at its first revision, whose backups mydumper makes."""
    server, user = mariadb.database.server, mariadb.database.user
    (grant,) = re.findall(r"GRANT ALL .*;", PAGE)
    server.execute(
        grant.replace("shop\\_trial", f"{mariadb.name}_trial".replace("_", "\\_")).replace("`shop`", f"`{user}`")
    )
    scripts = dict(re.findall(rf"(?ms)^`{FOLDER}([\w-]+)`:\n\n```text\n(.*?)^```$", PAGE))
    assert set(scripts) == {"take-mydumper", "check-mydumper", "restore-mydumper"}
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (block,) = re.findall(r"(?ms)^```yaml\n(.*?)^```$", PAGE)
    site.variables["migrate_virtualenv"] = str(virtualenv("pymysql"))
    site.variables["migrate_databases"] = [mariadb.entry]
    site.run("migrate", migrate_source=site.source("generic", "older").keep("0001"))
    mariadb.fill()
    with closing(mariadb.connect()) as own, own.cursor() as cursor:
        for statement in OBJECTS.strip().removesuffix(";").split(";"):
            cursor.execute(statement)
        own.commit()
    return yaml.safe_load(block.replace(FOLDER, f"{tmp_path}/"))  # type: ignore[no-any-return]


def test_what_a_failed_revision_has_written_is_held_and_comes_back_by_the_printed_command(
    site: Site, mariadb: MariaDBTarget, dumped: dict[str, Any]
) -> None:
    source = site.source("generic")
    site.run("migrate", migrate_source=source, **dumped)
    before = mariadb.dump()
    source.add("0003", "0002", f"{LEAVES_ROWS}; op.execute('alter table nowhere add x int')")
    held = site.run("migrate", "-e", "migrate_run=two", code=2, migrate_source=source, **dumped)
    assert_code(held, "others-wrote", database=mariadb.name)
    assert reverted(site, mariadb) == ("held", ["0002"])
    assert "half" in mariadb.tables()
    mariadb.rows("create table of_others (id int)")

    typed(printed(held.output, "To restore the old state: ")).ended()

    assert mariadb.dump() == before
    for path in (*site.root.rglob("*.json*"), *site.root.rglob("*.output")):
        assert mariadb.database.password not in path.read_text(errors="replace"), path
    names = [name for (name,) in mariadb.database.server.execute("show databases")]
    assert not [name for name in names if name.startswith(mariadb.name) and name != mariadb.name]


@pytest.mark.parametrize(
    ("lossy", "words"),
    [
        ("alter table parents add id_of uuid; update parents set id_of = uuid()", "parents.sql.gz does not come back"),
        ("alter table parents add more int invisible default 4", "parents.more is invisible"),
        ("alter table parents add more float", "parents.more has more digits than are dumped"),
        ("alter table parents add system versioning", "parents has a history"),
    ],
    ids=["uuid", "invisible", "float", "history"],
)
def test_what_mydumper_would_lose_fails_the_backup(
    site: Site, mariadb: MariaDBTarget, dumped: dict[str, Any], lossy: str, words: str
) -> None:
    mariadb.database.server.execute(lossy, mariadb.name)
    failed = site.run("migrate", code=2, migrate_source=site.source("generic"), **dumped)
    assert_code(failed, "command-failed", words, database=mariadb.name)
    assert mariadb.revisions == ["0001"]
