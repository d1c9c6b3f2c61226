# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cause is one line, whatever number of databases it stopped."""

from __future__ import annotations

from typing import Any

from ansible_collections.hosting.alembic.plugins.plugin_utils._report.causes import list_cause_lines
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.failures import render_failures
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.grouping import View
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.report import report
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.tally import tally


def failing(name: str, why: str = "no such table: itme") -> dict[str, Any]:
    return {"what": f"Revision b2 (total) failed in database {name!r}", "why": why, "code": "revision-failed"}


def test_databases_of_one_cause_are_one_line() -> None:
    names = [f"t{number}" for number in range(1, 24)]

    (line,) = list_cause_lines((name, failing(name)) for name in names)

    assert line.startswith(f"23 databases ({', '.join(names)}): Revision b2 (total) failed [")
    assert line.endswith("no such table: itme.")


def test_another_cause_is_another_line_and_one_database_keeps_its_name() -> None:
    errors = [("one", failing("one")), ("two", failing("two", "disk full")), ("three", failing("three"))]

    assert list_cause_lines(errors) == [
        "2 databases (one, three): Revision b2 (total) failed [revision-failed]: no such table: itme.",
        "two: Revision b2 (total) failed in database 'two' [revision-failed]: disk full.",
    ]


def test_a_database_that_is_held_keeps_its_own_ways_out() -> None:
    held = {"outcome": "held", "after": ["b2"], "error": {"what": "Others wrote"}}
    command = 'restore -e \'{{"migrate_restore_databases": ["{}"]}}\''
    failures = [
        ({"name": name, "error": failing(name)}, {**held, "ways_out": {"back": command.format(name)}})
        for name in ("one", "two")
    ]

    lines = render_failures(failures, View())

    assert [line for line in lines if "To restore the old state" in line] == [
        f"  To restore the old state: {command.format(name)}" for name in ("one", "two")
    ]
    assert sum("HELD at b2" in line for line in lines) == 2


def test_what_was_undone_for_one_cause_is_printed_once_and_one_command_tries_all_again() -> None:
    back = {"outcome": "downgraded", "after": ["a1"], "undone": [{"revision": "b2"}]}
    failures = [({"name": name, "error": failing(name)}, {**back}) for name in ("one", "two")]

    printed, undone, command = render_failures(failures, View())

    assert printed == "2 databases (one, two): Revision b2 (total) failed [revision-failed]: no such table: itme."
    assert undone == "  Downgraded b2; they are at a1, as before."
    assert command.endswith("""migrate.yml -e '{"migrate_retry_failed": ["one", "two"]}'""")


def test_a_note_of_a_restore_is_printed_once() -> None:
    restore = {"method": "swap", "notes": ["privileges of the database itself stay"]}
    entries: list[dict[str, Any]] = [
        {"name": name, "current": [], "heads": [], "pending": [], "obstacles": [], "restore": restore}
        for name in ("one", "two", "three")
    ]

    made = report({"plan": {"shipped": True, "databases": entries}}, View())

    assert [line for line in made.lines if "privileges" in line] == [
        "3 databases (one, two, three): A restore (swap): privileges of the database itself stay"
    ]
    assert made.tally == "3 databases: 3 at head"


def test_the_last_line_counts_and_names_only_what_there_is() -> None:
    assert tally(["at head", "to upgrade", "refused", "to upgrade"]) == (
        "4 databases: 2 to upgrade, 1 at head, 1 refused"
    )
    assert tally(["upgraded"]) == "1 database: 1 upgraded"
    assert tally([]) == "0 databases: none"


def test_what_failed_in_each_by_its_name_is_one_cause_for_all() -> None:
    def error(name: str) -> dict[str, Any]:
        what = f"The rollback of {name!r} failed"
        return {"what": what, "why": f"the process of {name!r} died", "code": "rollback-failed"}

    (line,) = list_cause_lines((name, error(name)) for name in ("one", "two"))
    (single,) = list_cause_lines([("one", error("one"))])

    assert line == "2 databases (one, two): The rollback failed [rollback-failed]: the process of … died."
    assert single == "one: The rollback of 'one' failed [rollback-failed]: the process of 'one' died."
