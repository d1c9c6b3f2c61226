from __future__ import annotations

import json
import os
import pwd
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._discovery import found_list, query
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.command import read_rows_of_command
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.found_list import (
    FoundList,
    Row,
    forget_lists,
    keep_lists,
    read_last_list,
    read_lists_of_run,
)
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.names import SAFE
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.query import query_source
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.source import Source
from tests.codes import refused as assert_refused

TEMPLATE = {"name": "{db}", "url": "postgresql://u@h/{db}"}


def program(printed: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"print({printed!r})")


def queried(tmp_path: Path, printed: Any, **more: Any) -> tuple[list[str], list[dict[str, Any]]]:
    text = printed if isinstance(printed, str) else json.dumps(printed)
    source = Source(command=program(text), **{"name": "s", "template": TEMPLATE, **more})
    found, entries = query_source(source, {"root": str(tmp_path)})
    assert found.names == [entry["name"] for entry in entries]
    return found.names, entries


def refused(tmp_path: Path, printed: Any, **more: Any) -> str:
    with pytest.raises(Refused) as caught:
        queried(tmp_path, printed, **more)
    return caught.value.code


def test_rows_become_entries_and_some_are_excluded(tmp_path: Path) -> None:
    names, entries = queried(tmp_path, [{"db": "b"}, {"db": "a"}, {"db": "test_a"}], exclude=("test_*",))
    assert names == ["a", "b"]
    assert entries[0] == {"name": "a", "url": "postgresql://u@h/a"}


@pytest.mark.parametrize("printed", ["", "{}", "nonsense", "[1]", '["a"]', "[" * 5000, '{"databases": []}'])
def test_what_is_not_a_list_of_objects_is_refused(tmp_path: Path, printed: str) -> None:
    assert refused(tmp_path, printed) == "discovery-answer-invalid"


def test_too_many_and_too_large_answers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "MOST", 2)
    assert refused(tmp_path, [{"db": "a"}, {"db": "b"}, {"db": "c"}]) == "discovery-too-many"
    monkeypatch.setattr("ansible_collections.hosting.alembic.plugins.module_utils._discovery.command.LARGEST", 100)
    assert refused(tmp_path, [{"db": "x" * 200}]) == "discovery-failed"


def test_a_program_that_fails_or_is_not_there_is_refused(tmp_path: Path) -> None:
    for command in (("/nowhere",), ("/bin/false",), ("/bin/sleep", "9")):
        with pytest.raises(Refused) as caught:
            query_source(Source(name="s", template=TEMPLATE, command=command, timeout=0.3), {"root": str(tmp_path)})
        assert caught.value.code == "discovery-failed"


def environment_of(run_as: str) -> dict[str, str]:
    """Return the variables of a program, and the user that it runs as, as it prints them itself."""
    script = 'import json, os; print(json.dumps([{**os.environ, "uid": os.getuid(), "gids": len(os.getgroups())}]))'
    source = Source("s", TEMPLATE, command=("/usr/bin/python3", "-c", script))
    (row,) = read_rows_of_command(source, run_as)
    return {key: str(value) for key, value in row.items() if key != "LC_CTYPE"}  # Python sets that one itself


def test_a_program_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("PGPASSWORD", "m4rked")

    assert set(environment_of("")) == {"PATH", "HOME", "LANG", "uid", "gids"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_program_runs_as_the_user_that_is_named() -> None:
    daemon = pwd.getpwnam("daemon")

    found = environment_of("daemon")

    assert (found["uid"], found["USER"], found["HOME"]) == (str(daemon.pw_uid), "daemon", daemon.pw_dir)
    assert found["gids"] == str(len(os.getgrouplist("daemon", daemon.pw_gid)))


def test_a_template_that_names_what_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, [{"datname": "a"}]) == "discovery-template-invalid"


def test_a_row_that_cannot_be_used_is_kept_as_refused_and_stops_no_other(tmp_path: Path) -> None:
    names, entries = queried(tmp_path, [{"db": "a"}, {"db": "b\n\x1b[31m"}, {"db": None}], name="long / " * 20)
    assert names[0] == "a"
    assert [bool(entry.get("problem")) for entry in entries] == [False, True, True]
    assert all(SAFE.fullmatch(name) for name in names)
    assert "\n" not in entries[1]["problem"]
    assert "\x1b" not in entries[1]["problem"]


def test_what_cannot_be_used_and_printed_names_can_be_excluded(tmp_path: Path) -> None:
    template = {"name": "{db}", "url": "sqlite:///{path}"}
    rows = [{"db": "a", "path": "/a"}, {"db": "gone", "path": None}, {"db": None, "path": "/old/x"}]
    (_a, gone, nameless), _entries = queried(tmp_path, rows, template=template)
    for patterns in (("gone", "/old/*"), ("s-row-*",), (gone, nameless)):
        assert queried(tmp_path, rows, template=template, exclude=patterns)[0] == ["a"]

    twice = [{"db": "b", "path": "/b1"}, {"db": "b", "path": "/b2"}]
    names = queried(tmp_path, twice, template=template)[0]
    assert queried(tmp_path, twice, template=template, exclude=(names[0],))[0] == names[1:]


def test_a_database_whose_schemas_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    template = {"name": "{db}-{schema}", "url": "sqlite:///{db}", "schema": "{schema}"}
    source = Source("s", template, command=program('[{"db": "a"}, {"db": "b"}]'), schemas=("t*",))
    rows = [Row("a-t1", "p1", {"db": "a", "schema": "t1"}), Row("a-t2", "p2", {"db": "a", "schema": "t2"})]
    keep_lists(str(tmp_path), "r", {"s": FoundList("r", "", tuple(rows))}, ["s"])

    found, entries = query_source(source, {"root": str(tmp_path), "discover_accept": True})

    assert [name for name in found.names if not name.startswith("s-row-")] == ["a-t1", "a-t2"]
    assert len(found.names) == 3
    assert all(entry["problem"] for entry in entries)
    assert [(row.place, dict(row.values)) for row in found.rows[:2]] == [(row.place, row.values) for row in rows]
    assert query_source(source, {"root": str(tmp_path), "discover_accept": True})[0].names == found.names


def test_rows_that_are_alike_are_one_and_other_columns_do_not_rename_them(tmp_path: Path) -> None:
    names = [queried(tmp_path, [{"db": None, "seen": at}, {"db": None, "seen": at}], minimum=0)[0] for at in (1, 2)]
    assert names[0] == names[1]
    assert len(names[0]) == 1


@pytest.mark.parametrize("printed", ['[{"db": "a", "db": "b"}]', '[{"db": "a", "x": {"y": 1, "y": 2}}]'])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, printed: str) -> None:
    assert refused(tmp_path, printed) == "discovery-answer-invalid"


def test_a_number_is_what_was_printed(tmp_path: Path) -> None:
    assert queried(tmp_path, '[{"db": 1.10}, {"db": 12345678901234567890}]')[0] == ["1.10", "12345678901234567890"]


def test_one_database_twice_is_refused(tmp_path: Path) -> None:
    template = {"name": "{id}", "url": "postgresql://{id}@h/{db}"}
    rows = [{"id": "one", "db": "shop"}, {"id": "two", "db": "shop"}]
    assert refused(tmp_path, rows, template=template) == "discovery-same-database"


def test_a_list_is_kept_and_read_again(tmp_path: Path) -> None:
    source = Source(name="s", command=program('[{"db": "a", "password": "x"}]'), template=TEMPLATE)
    found, _entries = query_source(source, {"root": str(tmp_path)})
    keep_lists(str(tmp_path), "run-1", {"s": found}, ["s"])

    again = read_lists_of_run(str(tmp_path), ["none", "run-1"])["s"]
    assert (again.run, again.rows) == ("run-1", found.rows)
    assert again.rows[0].values == {"db": "a"}
    assert refused(tmp_path, [{"db": "a"}, {"db": "b"}]) == "discovery-changed"
    written = list((tmp_path / "discovered").rglob("*.json"))
    assert [path.stat().st_mode & 0o777 for path in written] == [0o600, 0o600]


def test_a_refused_list_is_forgotten_and_the_one_before_it_counts_again(tmp_path: Path) -> None:
    first, second = (FoundList("", "", (Row(name, name, {"db": name}),)) for name in ("a", "b"))
    keep_lists(str(tmp_path), "run-1", {"s": first}, ["s"])
    keep_lists(str(tmp_path), "run-2", {"s": second}, ["s"])

    forget_lists(str(tmp_path), "run-2")
    assert read_lists_of_run(str(tmp_path), ["run-2"]) == {}
    assert [(last.run, last.names) for last in [read_last_list(str(tmp_path), "s")] if last] == [("run-1", ["a"])]

    journal = tmp_path / "journals" / "a" / "run-1.jsonl"
    journal.parent.mkdir(parents=True)
    journal.touch()
    forget_lists(str(tmp_path), "run-1")
    assert read_lists_of_run(str(tmp_path), ["run-1"])


DAMAGE = ["", "{", "[]", "{}", '{"format": "x"}', '{"run": "r", "at": "", "rows": 1, "sources": 1}']


@pytest.mark.parametrize("content", DAMAGE)
def test_a_list_that_is_damaged_is_an_error(tmp_path: Path, content: str) -> None:
    keep_lists(str(tmp_path), "run-1", {"s": FoundList("", "", ())}, ["s"])
    for path in (tmp_path / "discovered").rglob("*.json"):
        path.write_text(content)
    for read in (lambda: read_lists_of_run(str(tmp_path), ["run-1"]), lambda: read_last_list(str(tmp_path), "s")):
        with assert_refused("discovery-list-damaged", "discovered"):
            read()
    assert read_lists_of_run(str(tmp_path), ["none", "../../x"]) == {}


def test_old_lists_are_removed_but_for_those_that_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_list, "KEPT", 2)
    for number in range(6):
        keep_lists(str(tmp_path), f"run-{number}", {"s": FoundList("", "", ())}, ["s"], lambda run: run == "run-1")
    assert {path.stem for path in (tmp_path / "discovered" / "runs").iterdir()} == {"run-1", "run-4", "run-5"}


def test_a_statement_on_a_sqlite_file_can_only_read(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table customer as select 'a' as db union select 'b'")
    base: dict[str, Any] = {"name": "s", "template": TEMPLATE, "url": f"sqlite:///{path}"}

    found, _entries = query_source(Source(**base, sql="select db from customer"), {"root": str(tmp_path)})
    assert found.names == ["a", "b"]
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) as db from n"
    twice = "select db, db from customer"
    for sql in ("delete from customer returning db", "select nothing", twice, endless):
        with pytest.raises(Refused) as caught:
            query_source(Source(**base, sql=sql, timeout=0.5), {"root": str(tmp_path)})
        assert caught.value.code == "discovery-failed"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from customer").fetchone() == (2,)
