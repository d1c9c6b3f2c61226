"""What new tables of a database get comes back with a restore, before its routines are made again."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import hash_file
from ansible_collections.hosting.alembic.plugins.module_utils._engines.data import Archive
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb import client_input, places, swap
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_text import parse_dump
from ansible_collections.hosting.alembic.plugins.module_utils._engines.parts import find_restorer
from tests.codes import refused
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import program
from tests.lab.shell import CommandFailed
from tests.unit.module_utils._engines.mariadb.test_engine import fingerprint
from tests.unit.module_utils._engines.mariadb.test_restore import (
    OBJECTS,
    archive_of,
    engine_of,
    restore,
    schemas_beside,
)
from tests.unit.stage import in_process


def _archive(database: MariaDatabase, folder: Path) -> Archive:
    """Return a proven dump with the fingerprint that a backup has."""
    return replace(archive_of(database, folder), fingerprint=fingerprint(database, engine_of))


def _defaults(database: MariaDatabase) -> list[list[str]]:
    return database.server.execute(
        "select default_character_set_name, default_collation_name from information_schema.schemata"
        f" where schema_name = '{database.name}'"
    )


def test_a_restore_brings_the_defaults_of_the_database_back(mariadb_database: MariaDatabase, tmp_path: Path) -> None:
    mariadb_database.execute(OBJECTS)
    archive, before, defaults = (
        _archive(mariadb_database, tmp_path),
        mariadb_database.dump(),
        _defaults(mariadb_database),
    )
    mariadb_database.execute(
        "alter database character set latin1; drop procedure one; alter table texts add column c int"
    )
    changed = _defaults(mariadb_database)
    assert changed != defaults

    def fail() -> None:
        raise RuntimeError("on purpose")

    def restored(guard: Any) -> Any:
        return find_restorer(engine_of(mariadb_database)).restore(archive, "run", lambda _: None, guard)

    def fails() -> bool:
        with pytest.raises(Exception, match="on purpose"):
            restored(fail)
        return True

    assert in_process(fails)
    assert _defaults(mariadb_database) == changed

    in_process(lambda: restored(lambda: None))
    assert _defaults(mariadb_database) == defaults
    assert mariadb_database.dump() == before
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"set foreign_key_checks = 0; drop database `{name}`")


#: One of each from before the database got other defaults, and from since; triggers of both times fire in turns.
_OF_TWO_TIMES = """
alter database character set latin1 collate latin1_german1_ci;
create table words (id int primary key, n varchar(20), m varchar(20) character set latin1);
create table others (id int primary key, n varchar(20));
set names latin1 collate latin1_german2_ci;
delimiter //
create trigger one before insert on words for each row set new.n = concat(new.n, '!')//
create trigger other before delete on others for each row set @a = 'x'//
create procedure old(in a varchar(9)) begin declare b varchar(9) default 'x'; select a, b; end//
create function older(a varchar(9)) returns varchar(9) deterministic return concat(a, 'x')//
create event tidy on schedule every 1 day starts '2030-01-01 00:00:00' do delete from words where n = 'x'//
create event tidy_more on schedule every 1 day starts '2030-01-01 00:00:00' do select 1//
delimiter ;
create view seen as select n from words where n = 'x';
set names utf8mb4 collate utf8mb4_unicode_520_ci;
alter database character set utf8mb4 collate utf8mb4_unicode_ci;
delimiter //
create trigger two before insert on words for each row set new.n = concat(new.n, '?')//
create procedure new(in a varchar(9)) select a//
create event tidy_at_last on schedule every 1 day starts '2030-01-01 00:00:00' do select 2//
delimiter ;
alter database character set ascii collate ascii_bin;
create trigger three before insert on words for each row set new.n = concat(new.n, '.');
alter database character set utf8mb4 collate utf8mb4_unicode_ci;
create trigger four before insert on words for each row set new.n = concat(new.n, ';');
insert into words values (1, 'ä', 'ä');
"""
_CHANGES = {
    "the table of triggers": "alter table words add column more int",
    "triggers": "drop trigger one; drop trigger other",
    "the order of triggers": "drop trigger one; create trigger one before insert on words for each row"
    " set new.n = concat(new.n, '!')",
    "a trigger that is made anew": "drop trigger other; create trigger other before delete on others for each row"
    " set @a = 'x'",
    "routines that are gone": "drop procedure old; drop function older; drop event tidy",
    "routines that are made anew": "drop procedure old;\ndelimiter //\n"
    "create procedure old(in a varchar(9)) begin declare b varchar(9) default 'x'; select a, b; end//\ndelimiter ;",
    "an event": "alter event tidy_more disable; drop event tidy_at_last",
    "the defaults": "alter database character set latin1; alter table others add column more int; drop procedure new;"
    " drop function older",
    "all": "drop table words; drop table others; drop procedure old; drop function older; drop event tidy",
    "what is new": "alter database character set latin1; create procedure later() select 1;"
    " alter database character set utf8mb4 collate utf8mb4_unicode_ci; drop trigger two",
}


def _catalog(database: MariaDatabase) -> list[list[str]]:
    """Return what is not in a dump: the defaults that the database had for each of its routines."""
    columns = "character_set_client, collation_connection, database_collation"
    return database.execute(
        f"select trigger_name, {columns}, action_order from information_schema.triggers"
        " where trigger_schema = database()"
        f" union all select routine_name, {columns}, dtd_identifier from information_schema.routines"
        " where routine_schema = database()"
        f" union all select event_name, {columns}, '' from information_schema.events where event_schema = database()"
        " order by 1"
    )


@pytest.fixture
def of_two_times(mariadb_database: MariaDatabase) -> Iterator[MariaDatabase]:
    mariadb_database.execute("set names utf8mb4;" + _OF_TWO_TIMES)
    yield mariadb_database
    for name in schemas_beside(mariadb_database):
        mariadb_database.server.execute(f"set foreign_key_checks = 0; drop database `{name}`")


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
def test_what_was_made_under_other_defaults_comes_back_with_them(
    of_two_times: MariaDatabase, tmp_path: Path, change: str
) -> None:
    archive, before, catalog = _archive(of_two_times, tmp_path), of_two_times.dump(), _catalog(of_two_times)
    assert len({row[3] for row in catalog}) == 3
    defaults = _defaults(of_two_times)
    of_two_times.execute(change)
    restore(of_two_times, archive)
    assert of_two_times.dump() == before
    assert (_catalog(of_two_times), _defaults(of_two_times)) == (catalog, defaults)


def _statements(script: bytes) -> list[bytes]:
    """Return the statements of a script, each with what says where it ends."""
    found, current, is_plain = [], b"", True
    for line in script.splitlines(keepends=True):
        current += line
        if line.startswith(b"DELIMITER "):
            is_plain = line.strip() == b"DELIMITER ;"
        if is_plain and line.rstrip().endswith(b";"):
            found.append(current)
            current = b""
    assert current in (b"", b"\n")
    return found


class _Dies(BaseException):
    pass


def test_a_restore_that_dies_between_two_statements_is_ended_and_lets_no_row_past_its_triggers(
    of_two_times: MariaDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, before, catalog = _archive(of_two_times, tmp_path), of_two_times.dump(), _catalog(of_two_times)
    real = client_input.feed

    def dies(*_: Any) -> None:
        raise _Dies

    def restored_until(most: int) -> int:
        """Restore, die behind a number of statements in the database itself, and return how many there were."""
        executed = 0

        def feed(engine: Any, schema: str, lines: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal executed
            if schema != of_two_times.name:
                return real(engine, schema, lines, *arguments, **options)
            statements = _statements(b"".join(lines))
            some = statements[: most - executed]
            executed += len(some)
            counts = real(engine, schema, some, *arguments, **options)
            if len(some) < len(statements):
                raise _Dies
            return counts

        monkeypatch.setattr(client_input, "feed", feed)
        monkeypatch.setattr(swap, "end_or_undo", dies)
        with suppress(_Dies):
            find_restorer(engine_of(of_two_times)).restore(archive, "run", lambda _: None, lambda: None)
        monkeypatch.undo()
        return executed

    number, seen, most = 0, set[str](), 1000
    while number < most:
        of_two_times.execute("alter table words add column more int; drop procedure old; drop event tidy")
        done = in_process(functools.partial(restored_until, number))
        assert done <= number
        most = 200 if done == number else done
        try:
            of_two_times.execute("set statement lock_wait_timeout = 1 for insert into words (id, n) values (2, 'x')")
        except CommandFailed as failure:
            seen.update(word for word in ("1146", "1644") if f"ERROR {word} " in str(failure))
        else:
            assert of_two_times.execute("select n from words where id = 2") == [["x!?.;"]]
            seen.add("written")
        in_process(lambda: engine_of(of_two_times).lock(5, lambda _: None).release())
        of_two_times.execute("delete from words where id = 2")
        restore(of_two_times, archive)
        assert of_two_times.dump() == before
        assert _catalog(of_two_times) == catalog
        number += 4
    assert seen == {"1146", "1644", "written"}


def test_a_trigger_that_cannot_be_made_leaves_neither_a_guard_nor_other_defaults(
    of_two_times: MariaDatabase, tmp_path: Path
) -> None:
    """A row of the backup has a trigger that the server does not take any more."""
    archive, defaults = _archive(of_two_times, tmp_path), _defaults(of_two_times)
    text = archive.path.read_bytes()
    broken = text.replace(b"set new.n = concat(new.n, '?')", b"set new.q = concat(new.n, '?')")
    assert broken != text
    archive.path.write_bytes(broken)
    archive = replace(archive, sha256=hash_file(archive.path))
    of_two_times.execute("alter table words add column more int")
    with refused("restore-half-way") as refusal:
        restore(of_two_times, archive)
    _refuses_no_row(of_two_times, defaults)

    # As an administrator does it who has not found out what is the matter.
    server = of_two_times.server
    script = re.search(r"what (\S+) makes", refusal.value.why)
    command = re.search(r"mariadb (--force .*) `(.*)`;", refusal.value.remedy)
    assert script
    assert command
    assert command[2] == of_two_times.name
    words = [program("mariadb"), "--no-defaults", f"--socket={server.socket}", f"--user={server.user}"]
    with Path(script[1]).open("rb") as source:
        done = subprocess.run(
            [*words, *command[1].split(), command[2]],
            stdin=source,
            stderr=subprocess.PIPE,
            env={**os.environ, "MYSQL_PWD": server.password},
            check=False,
        )
    assert b"Unknown column" in done.stderr
    _refuses_no_row(of_two_times, defaults)
    assert [row[0] for row in _catalog(of_two_times) if row[0] in ("one", "three", "four")] == ["four", "one", "three"]


def _refuses_no_row(database: MariaDatabase, defaults: list[list[str]]) -> None:
    assert _defaults(database) == defaults
    assert [row[0] for row in _catalog(database) if "guard" in row[0]] == []
    database.execute("insert into words (id, n) values (3, 'x'); delete from words where id = 3")


def _dies_at_once(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("place", "name", "is_ended"),
    [(swap.Swap, "_plan", False), (swap, "move_in", False), (swap, "finish", True), (places.SchemaPlace, "drop", True)],
)
def test_after_a_kill_the_defaults_are_those_that_belong_to_the_tables(
    of_two_times: MariaDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    is_ended: bool,
) -> None:
    archive, before, defaults = _archive(of_two_times, tmp_path), of_two_times.dump(), _defaults(of_two_times)
    of_two_times.execute("alter table words add column more int; alter database character set koi8r")
    changed, other = of_two_times.dump(), _defaults(of_two_times)
    assert other != defaults
    monkeypatch.setattr(place, name, _dies_at_once)
    with pytest.raises(AssertionError):
        restore(of_two_times, archive)
    monkeypatch.undo()
    assert _defaults(of_two_times) == defaults

    in_process(lambda: engine_of(of_two_times).lock(5, lambda _: None).release())

    wanted = (before, defaults) if is_ended else (changed, other)
    assert (of_two_times.dump(), _defaults(of_two_times)) == wanted
    restore(of_two_times, archive)
    assert (of_two_times.dump(), _defaults(of_two_times)) == (before, defaults)


def test_a_dump_in_which_defaults_are_not_set_back_is_not_understood() -> None:
    alter = b"ALTER DATABASE `a``b` CHARACTER SET latin1 COLLATE latin1_bin ;\n"
    back = b"ALTER DATABASE `a``b` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;\n"
    made = b"DELIMITER ;;\nCREATE PROCEDURE `p`()\nselect 1 ;;\nDELIMITER ;\n"
    found = parse_dump((alter + made + back + made.replace(b"`p`", b"`q`")).splitlines(keepends=True))
    assert found.not_understood == []
    assert [found.routines[key].defaults for key in ("procedure p", "procedure q")] == [
        (b"latin1", b"latin1_bin"),
        None,
    ]
    assert found.defaults == (b"utf8mb4", b"utf8mb4_bin")
    assert parse_dump((alter + made).splitlines(keepends=True)).not_understood
    other = b"ALTER DATABASE `a` COMMENT 'x' ;\n"
    assert parse_dump([other]).not_understood
