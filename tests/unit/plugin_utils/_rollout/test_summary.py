# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The last thing on the screen: one table, what needs a person, what to type, and the databases counted."""

from __future__ import annotations

from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import FAILED_BEFORE
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.grouping import View
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import Database, Host, Manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.summary import render_summary

RETRY = '{"migrate_retry_failed": ["app"]}'
FAILING = {"what": "Revision 0003 failed in database 'app'", "why": "no such table: itme", "code": "revision-failed"}


def host(state: str, outcome: str, *, now: str = "0001", why: str = "") -> Host:
    steps = [{"revision": "0002", "message": "notes"}]
    entry = Database("head", was=["0001"], expected=["0002"], now=[now], outcome=outcome, pending=steps, why=why)
    return Host(run="r1", state=state, databases={"app": entry})


def migrated() -> Host:
    return host("migrated", "upgraded", now="0002")


def failed() -> Host:
    return host("failed", "downgraded", why="Revision 0003 failed")


def run_of(*hosts: Host, batches: list[int], ended: int) -> Manifest:
    names = [f"web{number}" for number in range(1, len(hosts) + 1)]
    made = Manifest("r1", hosts=dict(zip(names, hosts)), ended=ended)
    for size in batches:
        made.batches.append(names[:size])
        names = names[size:]
    return made


def results_of(**back: Any) -> dict[str, Any]:
    """What the verbs of a host have answered that failed."""
    reverted = {"name": "app", "outcome": "downgraded", "after": ["0001"], "undone": [{"revision": "0002"}], **back}
    upgrade = {"databases": [{"name": "app", "outcome": "failed", "error": FAILING}]}
    return {"upgrade": upgrade, "downgrade": {"databases": [reverted]}}


def lines_of(made: Manifest, results: dict[str, Any] | None = None, **options: Any) -> list[str]:
    return render_summary(made, "", lambda name: (results or {}).get(name, {}), **options)


def test_a_success_is_a_table_and_a_count() -> None:
    backup = {"path": "/srv/backups/app/r1", "size": 12_345_678}
    done = {"name": "app", "outcome": "upgraded", "applied": [{"revision": "0002", "message": "notes", "seconds": 0.2}]}
    upgrade = {"databases": [{**done, "seconds": 1.25, "backup": backup}]}

    assert lines_of(run_of(migrated(), batches=[1], ended=1), {"web1": {"upgrade": upgrade}}) == [
        "DATABASE  OUTCOME   FROM  TO    REVISIONS  TIME   BACKUP",
        "app       upgraded  0001  0002  1          1.2 s  /srv/backups/app/r1 (12 MB)",
        "app: 0002  notes  0.2 s",
        "Run r1: finished (1 batch)",
        "1 database: 1 upgraded",
    ]


def test_a_cause_of_held_databases_is_printed_once_and_the_ways_out_of_each_host() -> None:
    made = run_of(*(host("failed", "held", why="Revision 0003 failed") for _each in range(3)), batches=[3], ended=1)

    def held_on(name: str) -> dict[str, Any]:
        return results_of(outcome="held", error={"what": "Others wrote"}, ways_out={"back": f"restore --limit {name}"})

    lines = render_summary(made, "", held_on)

    assert len([line for line in lines if "no such table: itme" in line]) == 1
    assert [line for line in lines if "the same as" in line] == [
        "app on web2: the same as on web1 [revision-failed]",
        "app on web3: the same as on web1 [revision-failed]",
    ]
    assert [line for line in lines if "To restore the old state" in line] == [
        f"  To restore the old state: restore --limit web{n}" for n in (1, 2, 3)
    ]
    everything = render_summary(made, "", held_on, view=View(shows_all=True))
    assert len([line for line in everything if "no such table: itme" in line]) == 3


def test_a_host_that_failed_before_its_plan_is_a_cause_and_no_count_of_databases() -> None:
    made = run_of(Host(run="r1", state="failed", why="The host's Python did not start"), batches=[1], ended=1)

    lines = lines_of(made)

    assert "web1: The host's Python did not start" in lines
    assert lines[-1].startswith("  Next: ")
    assert lines_of(run_of(Host(run="r1", state="migrated"), batches=[1], ended=1))[-1] == "0 databases: none"


def test_every_host_is_in_one_table_and_a_cause_is_printed_once_for_all() -> None:
    made = run_of(migrated(), failed(), failed(), host("waiting", "waiting"), batches=[1, 2, 1], ended=2)
    made.why = "too many"

    lines = render_summary(made, "/m/r1.json", lambda name: results_of() if name in ("web2", "web3") else {})

    assert lines == [
        "HOST  DATABASE  OUTCOME    REVERTED    FROM  TO    REVISIONS",
        "web1  app       upgraded               0001  0002  1",
        "web2  app       FAILED     downgraded        0001",
        "web3  app       FAILED     downgraded        0001",
        "web4  app       not begun                    0001",
        "Run r1: stopped after batch 2 of 3, because too many",
        "  1 migrated: web1",
        "  2 failed: web2, web3",
        "  1 not begun: web4",
        "2 databases (app) on web2, web3: Revision 0003 failed [revision-failed]: no such table: itme.",
        "  Downgraded 0002; they are at 0001, as before.",
        f"  Next: correct the release, then: ansible-playbook migrate.yml -e migrate_run=r1 -e '{RETRY}'",
        "  Manifest: /m/r1.json",
        "4 databases: 1 upgraded, 1 not begun, 2 failed",
    ]


def test_a_held_database_has_its_ways_out_and_a_lost_host_a_line() -> None:
    lost = Host(state="lost", why="it did not answer")
    made = run_of(host("failed", "held", why="Others wrote"), lost, batches=[2], ended=1)
    held = results_of(outcome="held", error={"what": "Others wrote"}, ways_out={"back": "restore it"})

    lines = lines_of(made, {"web1": held})

    assert [line.split() for line in lines[1:3]] == [["web1", "app", "HELD", "0001"], ["web2", "lost"]]
    assert "web2: it did not answer" in lines
    assert "  HELD at 0001: Others wrote." in lines
    assert "  To restore the old state: restore it" in lines


def test_what_is_known_of_the_plan_alone_is_printed_too() -> None:
    lines = lines_of(run_of(host("failed", "refused", why="It cannot be reached."), batches=[1], ended=1))

    assert "app: It cannot be reached." in lines
    assert lines[1].split()[:2] == ["app", "REFUSED"]


def test_where_there_are_many_only_those_that_need_a_person_have_a_row() -> None:
    lines = lines_of(run_of(*[migrated() for _ in range(60)], failed(), batches=[61], ended=1))

    assert lines[1].split() == ["60", "hosts", "60", "databases", "upgraded", "0001", "0002", "1"]
    assert lines[2].split()[:3] == ["web61", "app", "FAILED"]
    assert lines[-1] == "61 databases: 60 upgraded, 1 failed"


def test_a_note_is_printed_once_for_all_hosts() -> None:
    finding = {"what": "Revision 0001 has changed since it was applied", "code": "revision-changed"}
    plan = {"plan": {"databases": [{"name": "app", "changed_history": [finding]}]}}

    lines = lines_of(run_of(migrated(), migrated(), batches=[2], ended=1), {"web1": plan, "web2": plan})

    (noted,) = [line for line in lines if "WARNING" in line]
    assert noted.startswith("WARNING: 2 databases (app) on web1, web2: Revision 0001 has changed")


def test_a_lost_host_is_named_with_what_says_how_it_ended() -> None:
    made = run_of(Host(state="lost", why="it did not answer"), batches=[1], ended=1)

    lines = lines_of(made)

    assert "  1 lost: web1" in lines
    first, following = lines[-2:]
    assert first == "  First: once web1 can be reached again: ansible-playbook playbooks/recover.yml"
    assert following.startswith("  Next: correct what failed, then: ansible-playbook migrate.yml ")


def test_check_mode_predicts() -> None:
    lines = lines_of(run_of(host("migrated", "upgraded"), batches=[1], ended=1), view=View(check_mode=True))

    assert lines[1].split() == ["app", "to", "upgrade", "0001", "0002", "1"]
    assert lines[-2:] == ["Run r1: finished (1 batch) in check mode, which changed nothing", "1 database: 1 to upgrade"]


def test_the_last_lines_name_what_lets_a_failed_database_be_tried_again() -> None:
    refused = failed()
    refused.databases["app"].outcome, refused.databases["app"].code = "refused", FAILED_BEFORE
    made = run_of(refused, batches=[1], ended=1)
    made.why = "web1 failed in the first batch"
    assert "Run r1: finished (1 batch); web1 failed in the first batch" in lines_of(made)
    assert lines_of(made)[-2].endswith(f"-e migrate_run=r1 -e '{RETRY}'")
    refused.databases["app"].code = "database-unreachable"
    assert lines_of(made)[-2].endswith("correct what failed, then: ansible-playbook migrate.yml -e migrate_run=r1")
    refused.databases = {name: failed().databases["app"] for name in "abcd"}
    assert lines_of(made)[-2].endswith("-e migrate_run=r1 -e migrate_retry_failed=true")
