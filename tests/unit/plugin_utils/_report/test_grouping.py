# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports of a thousand databases: what is alike is one line, and nothing that needs a person is lost in it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._report.failures import MOST_CAUSES
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.grouping import MOST_ROWS, View
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.report import is_grouped, report

MANY = 1000
STEPS = [{"revision": f"{number:04}", "message": "m", "seconds": 0.1} for number in range(5)]
FAILING = {"what": "Revision 0003 failed", "why": "no such table: itme", "remedy": "", "code": "revision-failed"}


def names(count: int = MANY) -> list[str]:
    return [f"t{number:04}" for number in range(count)]


def upgraded(name: str, **more: Any) -> dict[str, Any]:
    backup = {"path": f"/srv/backups/{name}/r1", "size": 1000, "taken": "2026-11-22T03:00:00+00:00"}
    done = {"name": name, "outcome": "upgraded", "before": [], "after": ["0004"], "applied": STEPS, "backup": backup}
    return {**done, "seconds": 0.5, "error": None, **more}


def planned(name: str, **more: Any) -> dict[str, Any]:
    pending = [{"revision": step["revision"], "message": "m"} for step in STEPS]
    return {"name": name, "current": [], "heads": ["0004"], "pending": pending, "obstacles": [], **more}


def state(name: str, **more: Any) -> dict[str, Any]:
    last = {"run": "r1", "outcome": "upgraded"}
    entry = {"name": name, "server": "SQLite", "current": ["0004"], "pending": [], "problems": [], "last_run": last}
    return {**entry, "last_backup": upgraded(name)["backup"], **more}


def of_upgrade(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "plan": {"shipped": True, "databases": [planned(entry["name"]) for entry in entries]},
        "upgrade": {"databases": entries},
    }


def reverted(count: int, why: str = "no such table: itme", **back: Any) -> dict[str, Any]:
    """What a failed upgrade of so many databases has answered, and its revert."""
    failed = [
        {"name": name, "outcome": "failed", "after": [], "error": {**FAILING, "why": why.format(name=name)}}
        for name in names(count)
    ]
    backs = [
        {
            "name": name,
            "outcome": "downgraded",
            "after": [],
            "undone": [],
            **{key: make(name) for key, make in back.items()},
        }
        for name in names(count)
    ]
    return {"upgrade": {"databases": failed}, "downgrade": {"databases": backs}}


@pytest.mark.parametrize(
    "results",
    [
        of_upgrade([upgraded(name) for name in names()]),
        {"plan": {"shipped": True, "databases": [planned(name) for name in names()]}},
        {"status": {"databases": [state(name) for name in names()]}},
        {"backup": {"databases": [upgraded(name, outcome="backed_up") for name in names()]}},
        {"rollback": {"databases": [upgraded(name, outcome="downgraded") for name in names()]}},
        {"restore": {"databases": [upgraded(name, outcome="restored", retained=f"/srv/{name}") for name in names()]}},
        {"recover": {"databases": [upgraded(name, of_run="r1") for name in names()]}},
        {
            "backups": {
                "databases": [{"name": n, "backups": [{"taken": "2026", "run": "r", "size": 1}]} for n in names()]
            }
        },
    ],
    ids=lambda results: next(iter(results)),
)
def test_a_thousand_that_are_alike_are_a_line(results: dict[str, Any]) -> None:
    made = report(results, View())
    everything = report(results, View(shows_all=True))

    assert is_grouped(results, View())
    assert not is_grouped(results, View(shows_all=True))
    assert len([line for line in made.lines if "1000 databases" in line]) >= 1
    assert len(made.lines) <= 10
    assert not made.failure
    assert all(any(name in line for line in everything.lines) for name in names())


def test_few_have_a_line_each() -> None:
    few = of_upgrade([upgraded(name) for name in names(MOST_ROWS)])

    assert [line.split()[0] for line in report(few, View()).lines[1:]][:MOST_ROWS] == names(MOST_ROWS)


def test_what_needs_a_person_has_a_row_among_many() -> None:
    entries = [upgraded(name) for name in names()]
    entries[500] = upgraded("bad", outcome="deferred", error={"what": "no time", "code": "window-too-short"})

    lines = report(of_upgrade(entries), View()).lines

    assert [line.split()[:3] for line in lines[1:3]] == [["999", "databases", "upgraded"], ["bad", "deferred", "0004"]]
    assert any(line.startswith("bad: no time [window-too-short]") for line in lines)


def test_the_revision_that_took_longest_is_named_with_its_database() -> None:
    slow = [{**step, "seconds": 99.0} if step["revision"] == "0002" else step for step in STEPS]
    entries = [upgraded(name) for name in names(99)] + [upgraded("slow", applied=slow)]

    lines = report(of_upgrade(entries), View()).lines

    (line,) = [line for line in lines if "revisions" in line]
    assert line.startswith(
        "5 revisions, applied 500 times in 148.9 s; the longest: 0002  m: 100 databases, 108.9 s in all"
    )
    assert line.endswith("at most 99.0 s (slow)")


def test_a_cause_of_three_hundred_failures_is_one_entry() -> None:
    failure = report(reverted(300), View()).failure

    assert len([line for line in failure if "revision-failed" in line]) == 1
    assert failure[0].startswith(f"300 databases ({', '.join(names(300))}): ")
    assert len(failure) <= 4


def test_causes_that_differ_in_values_only_are_one() -> None:
    failure = report(reverted(300, "Key (email)=({name}) exists, /srv/{name}/app.db, after 3 s"), View()).failure

    assert len([line for line in failure if "revision-failed" in line]) == 1


def test_of_three_hundred_causes_some_are_described_and_the_rest_counted() -> None:
    failure = report(reverted(300, "no such table: {name}"), View()).failure

    assert len([line for line in failure if "revision-failed" in line]) == MOST_CAUSES
    others = ", ".join(names(300)[MOST_CAUSES:])
    assert failure[-1] == f"and {300 - MOST_CAUSES} more causes, in {300 - MOST_CAUSES} databases ({others})"
    everything = report(reverted(300, "no such table: {name}"), View(shows_all=True)).failure
    assert len([line for line in everything if "revision-failed" in line]) == 300


def test_databases_that_are_held_for_one_reason_have_one_command_for_all() -> None:
    def ways(name: str) -> dict[str, str]:
        return {"back": f"""ansible-playbook restore.yml -e '{{"migrate_restore_databases": ["{name}"]}}'"""}

    failure = report(reverted(30, outcome=lambda _name: "held", ways_out=ways), View()).failure

    (way,) = [line for line in failure if "To restore the old state" in line]
    assert all(f'"{name}"' in way for name in names(30))


def test_a_held_database_is_never_among_the_causes_that_are_not_described() -> None:
    results = reverted(300, "no such table: {name}")
    results["downgrade"]["databases"][299] |= {"outcome": "held", "ways_out": {"back": "type this"}}

    assert "  To restore the old state: type this" in report(results, View()).failure


def test_a_rollback_of_many_that_fails_groups_its_causes() -> None:
    entries = [{"name": name, "outcome": "failed", "before": [], "after": [], "error": FAILING} for name in names(300)]
    message = "\n".join(f"{entry['name']}: no such table" for entry in entries)

    failure = report({"rollback": {"databases": entries, "failed": True, "msg": message}}, View()).failure

    assert len(failure) == 1
    assert failure[0].startswith("300 databases (t0000")


def test_a_plan_of_many_names_each_that_is_refused() -> None:
    entries = [planned(name) for name in names()]
    entries[7] = planned("bad", pending=[], obstacles=[FAILING])

    made = report({"plan": {"shipped": True, "databases": entries}}, View())

    assert made.lines[0] == "999 databases  base -> 0004"
    assert made.lines[-2:] == [
        "bad  base  refused",
        "    REFUSED: Revision 0003 failed [revision-failed]: no such table: itme.",
    ]
    assert made.failure == ["An upgrade is refused for bad"]
    assert made.tally == "1000 databases: 999 to upgrade, 1 refused"


def test_a_cause_that_another_host_has_printed_is_named_by_that_host_and_its_ways_out_are_kept() -> None:
    entry = {"name": "shop", "outcome": "held", "after": ["0003"], "error": FAILING, "ways_out": {"back": "type this"}}
    results = {"rollback": {"databases": [entry], "failed": True, "msg": "shop: no such table"}}

    first = report(results, View()).failure
    second = report(results, View(first_on=lambda _cause: "web1")).failure

    assert first == [
        "shop: Revision 0003 failed [revision-failed]: no such table: itme.",
        "shop: to restore the old state: type this",
    ]
    assert second == ["shop: the same as on web1 [revision-failed]", "shop: to restore the old state: type this"]


def test_a_few_of_each_of_several_hosts_are_as_many_as_those_of_one() -> None:
    entries = [upgraded(name, outcome="backed_up") for name in names(4)]
    few, several = (
        report({"backup": {"databases": entries}}, View()),
        report({"backup": {"databases": entries}}, View(hosts=4)),
    )

    assert len(few.lines) == 5
    assert [line.split()[:2] for line in several.lines] == [["DATABASE", "OUTCOME"], ["4", "databases"]]
    one = report({"backup": {"databases": entries[:1]}}, View(hosts=100))
    assert one.lines[1].startswith(entries[0]["name"])


def test_a_plan_of_a_few_prints_what_they_have_in_common_once_and_names_each() -> None:
    entries = [planned(name) for name in ("a", "b", "c")] + [planned("d", pending=[], obstacles=[FAILING])]

    lines = report({"plan": {"shipped": True, "databases": entries}}, View()).lines

    assert lines[0] == "3 databases (a, b, c)  base -> 0004"
    assert lines[-2].startswith("d  ")
    everything = report({"plan": {"shipped": True, "databases": entries}}, View(shows_all=True)).lines
    assert len([line for line in everything if line.endswith("base -> 0004")]) == 3


def test_a_status_prints_a_cause_once_also_where_databases_are_few() -> None:
    entries = [state(name, problems=[FAILING]) for name in ("a", "b")]
    results = {"status": {"databases": entries}}

    (line,) = [line for line in report(results, View()).lines if "revision-failed" in line]
    (short,) = [
        line for line in report(results, View(first_on=lambda _cause: "web1")).lines if "revision-failed" in line
    ]

    assert line.startswith("2 databases (a, b): Revision 0003 failed [revision-failed]: no such table")
    assert short == "2 databases (a, b): the same as on web1 [revision-failed]"


def test_databases_that_one_cause_stopped_are_one_line_also_where_they_are_few() -> None:
    failed = {"outcome": "failed", "before": [], "after": [], "error": FAILING}
    entries = [{"name": name, **failed} for name in ("a", "b")]
    message = "a: no such table\nb: no such table"

    failure = report({"rollback": {"databases": entries, "failed": True, "msg": message}}, View()).failure

    assert failure == ["2 databases (a, b): Revision 0003 failed [revision-failed]: no such table: itme."]
