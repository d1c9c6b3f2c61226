from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._report.grouping import View
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.report import render_joint, report
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.sizes import format_size
from ansible_collections.hosting.alembic.plugins.plugin_utils._report.tables import render_table

ERROR = {"what": "Revision 0003 failed", "why": "because", "remedy": "Correct it"}
BACKUP = {"path": "/srv/backups/shop/r1", "size": 12_345_678, "taken": "2026-11-22T03:00:00.123+00:00"}
UPGRADED = {
    "name": "shop",
    "outcome": "upgraded",
    "before": ["0001"],
    "after": ["0003"],
    "applied": [
        {"revision": "0002", "message": "two", "seconds": 0.25},
        {"revision": "0003", "message": "three", "seconds": 1.0},
    ],
    "backup": BACKUP,
    "lost_rows": {"users": [10, 7]},
    "error": None,
    "seconds": 2.54,
}


def planned(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "current": [], "heads": [], "pending": [], "obstacles": [], **more}


def failed(**back: Any) -> str:
    """Return what is printed of a failed upgrade that was reverted so."""
    upgrade = {"databases": [{"name": "shop", "outcome": "failed", "after": ["0002"], "error": ERROR}]}
    entry = {"name": "shop", "after": ["0001"], "undone": [], "error": None, **back}
    found = report({"upgrade": upgrade, "downgrade": {"databases": [entry]}}, View())
    return "\n".join(found.failure)


def test_columns_are_aligned_and_empty_ones_left_out() -> None:
    rows = [["shop", "", "a"], ["longer name", "", ""]]

    assert render_table(("NAME", "EMPTY", "LAST"), rows) == ["NAME         LAST", "shop         a", "longer name"]


@pytest.mark.parametrize(
    ("count", "words"),
    [(None, "0 B"), (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12_345_678, "12 MB"), (5_000_000_000_000, "5.0 TB")],
)
def test_bytes_are_reported_as_people_say_them(count: int | None, words: str) -> None:
    assert format_size(count) == words


def test_an_upgrade_is_a_line_a_database_and_what_was_lost() -> None:
    plan = {"shipped": True, "databases": [planned("shop"), planned("idle", current=["0009"])]}
    found = report({"plan": plan, "upgrade": {"databases": [UPGRADED]}}, View())

    assert found.failure == []
    assert found.lines[0].split() == ["DATABASE", "OUTCOME", "FROM", "TO", "REVISIONS", "TIME", "BACKUP"]
    assert found.lines[1].split() == [
        *("shop", "upgraded", "0001", "0003", "2", "2.5", "s", "/srv/backups/shop/r1", "(12", "MB)"),
    ]
    assert found.lines[2].split() == ["idle", "unchanged", "0009"]
    assert "shop: 0002  two  0.2 s" in found.lines
    assert found.lines[-1] == "shop: table users had 10 rows and has 7 now"


def test_check_mode_says_would() -> None:
    entry = {**UPGRADED, "backup": None, "lost_rows": {}}
    found = report(
        {"plan": {"shipped": True, "databases": [planned("shop")]}, "upgrade": {"databases": [entry]}},
        View(check_mode=True),
    )

    assert "would be upgraded" in found.lines[1]


def test_hundreds_of_revisions_do_not_fill_the_screen() -> None:
    steps = [{"revision": f"{n:04}", "message": "m", "seconds": 0.1} for n in range(100)]
    plan = {"shipped": True, "databases": [planned("shop")]}
    found = report({"plan": plan, "upgrade": {"databases": [{**UPGRADED, "applied": steps}]}}, View())

    assert len(found.lines) < 10
    assert any("100 revisions" in line for line in found.lines)


@pytest.mark.parametrize(
    ("back", "words"),
    [
        ({"outcome": "untouched"}, ["Nothing of it was committed", "at 0001, as before"]),
        (
            {"outcome": "downgraded", "undone": [{"revision": "0003"}, {"revision": "0002"}]},
            ["Downgraded 0003, 0002", "at 0001, as before"],
        ),
        (
            {"outcome": "restored", "reason": "it had to be", "retained": "/srv/shop.db.aside-r1"},
            ["Restored from its backup, because it had to be", "/srv/shop.db.aside-r1", "at 0001, as before"],
        ),
        (
            {
                "outcome": "restored",
                "reason": "so",
                "retained": "s",
                "not_restored": ["servers, which stay as they are"],
            },
            ["at 0001, as before.\n  But for servers, which stay as they are."],
        ),
        (
            {"outcome": "held", "error": {"what": "No way"}, "ways_out": {"back": "type this", "forward": "or that"}},
            ["HELD at 0001: No way.", "To restore the old state: type this", "To continue: or that"],
        ),
    ],
)
def test_a_failure_says_what_failed_what_was_undone_at_which_revision_and_what_next(
    back: dict[str, Any], words: list[str]
) -> None:
    printed = failed(**back)

    assert printed.startswith("shop: Revision 0003 failed: because.\n")
    for word in words:
        assert word in printed
    assert back["outcome"] == "held" or "Next: " in printed


def test_a_lost_host_is_a_failure() -> None:
    lost = {"failed": True, "lost": True, "databases": [], "msg": "The host was lost"}

    found = report({"upgrade": lost, "downgrade": {"failed": True, "databases": [], "msg": "Not gone"}}, View())

    assert found.failure == ["The host was lost", "Not gone"]


def test_a_failure_is_never_reported_as_none() -> None:
    assert report({"upgrade": {}, "downgrade": {"databases": [], "changed": False}}, View()).failure


def test_a_plan_shows_each_revision_and_each_refusal() -> None:
    pending = [{"revision": "0002", "message": "two"}]
    entries = [
        planned("shop", current=["0001"], heads=["0002"], pending=pending),
        planned("idle", current=["0009"]),
        planned("bad", obstacles=[ERROR]),
    ]
    found = report({"plan": {"shipped": True, "databases": entries}}, View())

    assert "shop  0001 -> 0002" in found.lines
    assert "    0002  two" in found.lines
    assert "idle  0009  nothing to do" in found.lines
    assert any("REFUSED: Revision 0003 failed: because. Correct it." in line for line in found.lines)
    assert found.failure == ["An upgrade is refused for bad"]
    assert not report({"plan": {"shipped": True, "databases": entries[:2]}}, View()).failure


def test_a_plan_of_a_release_that_is_not_there_says_how_to_ship_it() -> None:
    assert "ship.yml" in report({"plan": {"shipped": False, "databases": []}}, View()).lines[0]


def test_a_status_is_a_line_a_database() -> None:
    known = {
        "name": "shop",
        "server": "SQLite 3.40",
        "current": ["0001"],
        "pending": [{}],
        "problems": [ERROR],
        "last_run": {"run": "r1", "outcome": "upgraded"},
        "last_backup": BACKUP,
    }
    unknown = {
        **known,
        "name": "new",
        "server": "",
        "current": [],
        "problems": [],
        "last_run": None,
        "last_backup": None,
    }
    found = report({"status": {"databases": [known, unknown]}}, View())

    assert found.lines[1].split() == [
        "shop",
        "0001",
        "1",
        "r1",
        "upgraded",
        "2026-11-22",
        "03:00:00",
        "UTC",
        "SQLite",
        "3.40",
    ]
    assert found.lines[2].split() == ["new", "unknown", "1", "never", "none"]
    assert found.lines[3].startswith("shop: Revision 0003 failed")


def test_a_rollback_that_was_held_fails_with_its_ways_out() -> None:
    held = {"name": "shop", "outcome": "held", "after": ["0003"], "ways_out": {"back": "type this"}}
    found = report({"rollback": {"databases": [held], "of_run": "r1", "failed": True, "msg": "shop: no way"}}, View())

    assert found.failure == ["shop: no way", "shop: to restore the old state: type this"]


def test_a_rollback_reports_what_its_backup_has_kept() -> None:
    entry = {"name": "shop", "outcome": "downgraded", "after": ["0001"], "notes": ["1 row in orders"]}

    assert report({"rollback": {"databases": [entry]}}, View()).lines[2:] == ["shop: note: 1 row in orders"]


def test_backups_are_listed_where_they_are() -> None:
    entry = {"name": "shop", "outcome": "backed_up", "after": ["0001"], "seconds": 1.0, "backup": BACKUP}

    assert "/srv/backups/shop/r1 (12 MB)" in report({"backup": {"databases": [entry]}}, View()).lines[1]


def test_what_an_administrator_types_for_a_restore_is_in_a_plan_and_not_in_a_migration() -> None:
    obstacle = {"what": "Database 'shop' cannot be restored by its user", "why": "no rights", "remedy": ""}
    restore = {"method": "swap", "not_restored": [], "obstacle": obstacle, "notes": [], "rights": "mariadb --execute=g"}
    entries = [{**planned("shop"), "restore": restore}, {**planned("wiki"), "restore": {**restore, "rights": ""}}]
    line = "shop: So that it can be restored, an administrator types: mariadb --execute=g"

    assert line in report({"plan": {"shipped": True, "databases": entries}}, View()).lines
    migrated = report({"plan": {"databases": entries}, "upgrade": {"databases": []}}, View())
    assert not [each for each in migrated.lines if "administrator" in each]


def test_what_prevents_a_restore_is_reported_before_one_is_needed() -> None:
    obstacle = {"what": "Database 'shop' cannot be restored by its user", "why": "some of it is root's", "remedy": ""}
    restore = {"method": "in_place", "not_restored": ["slots"], "obstacle": None, "notes": ["as it may not swap"]}
    backup = {"name": "shop", "outcome": "backed_up", "after": ["0001"], "seconds": 1.0, "backup": BACKUP}
    plan = {"name": "shop", "current": [], "heads": [], "pending": [], "obstacles": []}

    printed = report({"backup": {"databases": [{**backup, "restore": restore}]}}, View())
    warned = report({"backup": {"databases": [{**backup, "restore": {**restore, "obstacle": obstacle}}]}}, View())
    migrated = [
        report({"plan": {"databases": [{**plan, "restore": each}]}, "upgrade": {"databases": []}}, View())
        for each in ({**restore, "obstacle": obstacle}, restore, None)
    ]

    assert printed.lines[2:] == [
        "shop: A restore (in_place) would not bring back slots",
        "shop: A restore (in_place): as it may not swap",
    ]
    assert not printed.failure
    warning = (
        "WARNING: shop: Could not be restored: Database 'shop' cannot be restored by its user: some of it is root's."
    )
    assert warned.lines[2:] == [warning]
    assert [warning in each.lines for each in migrated] == [True, False, False]
    assert all("in_place" not in line for each in migrated for line in each.lines)


def test_changed_history_is_a_warning_in_plan_status_and_migration() -> None:
    plan = {"shipped": True, "databases": [planned("shop", changed_history=[ERROR])]}
    state: dict[str, Any] = {
        "name": "shop",
        "server": "",
        "current": [],
        "pending": [],
        "problems": [],
        "last_run": None,
    }
    state.update(last_backup=None, changed_history=[ERROR])
    for results in (
        {"plan": plan},
        {"plan": plan, "upgrade": {"databases": [UPGRADED]}},
        {"status": {"databases": [state]}},
    ):
        printed = "\n".join(report(results, View()).lines)
        assert printed.count("Revision 0003 failed: because. Correct it.") == 1
        assert "WARNING" in printed


def test_changed_history_that_is_refused_is_printed_once() -> None:
    plan = {"shipped": True, "databases": [planned("shop", obstacles=[ERROR], changed_history=[ERROR])]}

    printed = "\n".join(report({"plan": plan}, View()).lines)

    assert "REFUSED" in printed
    assert "WARNING" not in printed


def test_what_is_retained_is_a_line_each_and_the_status_warns_of_what_is_old() -> None:
    leftover = {"kind": "retained", "name": "/srv/app.db.aside-r1", "days": 15.2, "size": 1_000, "outcome": "kept"}
    leftover["reason"] = "it is younger than 30 days"
    entry = {"name": "shop", "leftovers": [leftover]}
    lines = report({"prune": {"databases": [entry]}}, View()).lines
    assert lines[1].split() == [
        *("shop", "retained", "/srv/app.db.aside-r1", "15", "days", "1", "kB", "kept:"),
        *("it", "is", "younger", "than", "30", "days"),
    ]
    assert report({"prune": {"databases": [{**entry, "leftovers": []}]}}, View()).lines == ["Nothing is retained."]

    state: dict[str, Any] = {"name": "shop", "server": "", "current": [], "pending": [], "problems": []}
    state.update(last_run=None, last_backup=None, retained=[{**leftover, "old": True}])
    (warning,) = [line for line in report({"status": {"databases": [state]}}, View()).lines if "WARNING" in line]
    assert "/srv/app.db.aside-r1 has been retained for 15 days" in warning
    assert "migrate_prune=true" in warning


def rehearsed_step(revision: str, **more: Any) -> dict[str, Any]:
    plain = {"message": "", "seconds": 0.1, "space": 0, "locks": {}, "verdict": "reversible", "why": ""}
    return {"revision": revision, **plain, "data_loss": [], "schema": [], "again": True, "again_error": "", **more}


def test_a_rehearsal_says_what_each_revision_locks_and_loses_and_how_long_the_real_run_takes() -> None:
    loss = {"table": "public.item", "column": "name", "what": "has other values than before"}
    steps = [
        rehearsed_step("0002", message="notes", space=16_384, locks={"public.item": "AccessExclusiveLock"}),
        rehearsed_step("0003", verdict="lossy", data_loss=[loss], schema=["-type mood"], again=False, again_error="no"),
        rehearsed_step("0004", verdict="irreversible", why="it has no downgrade", again=None),
    ]
    entry: dict[str, Any] = {
        "name": "shop",
        "outcome": "rehearsed",
        "before": ["0001"],
        "goal": ["0004"],
        "revisions": steps,
    }
    entry |= {"models": ["only the models have table extra"], "notes": [], "backup": BACKUP, "upgrade_seconds": 1.0}

    found = report({"rehearse": {"databases": [{**entry, "expected_seconds": 4.24}]}}, View())

    assert found.failure == []
    assert "1 reversible, 1 lossy, 1 irreversible  4.2 s" in found.lines[1]
    assert found.lines[2:] == [
        "shop: 0002  notes  0.1 s  +16 kB  locks public.item AccessExclusive",
        "shop: 0003  0.1 s",
        "    LOSSY",
        "    public.item.name has other values than before",
        "    schema -type mood",
        "    FAILS A SECOND TIME, after its downgrade: no",
        "shop: 0004  0.1 s",
        "    IRREVERSIBLE: it has no downgrade",
        "shop: differs from the models: only the models have table extra",
    ]


def test_a_failed_rehearsal_fails_and_an_empty_one_says_so() -> None:
    entry = {"name": "shop", "outcome": "failed", "error": ERROR}
    assert report({"rehearse": {"databases": [entry], "msg": "shop: no"}}, View()).failure == [
        "shop: Revision 0003 failed: because. Correct it."
    ]
    assert report({"rehearse": {"databases": []}}, View()).lines == [
        "Nothing is pending, so there is nothing to rehearse."
    ]


def test_check_mode_of_a_rollback_says_would() -> None:
    entries = [
        {"name": "shop", "outcome": "downgraded", "before": ["0002"], "after": ["0001"]},
        {"name": "blog", "outcome": "refused", "error": ERROR},
    ]

    found = report({"rollback": {"of_run": "r1", "databases": entries}}, View(check_mode=True))

    assert "would be downgraded" in found.lines[1]
    assert "would be refused" in found.lines[2]
    assert found.failure == ["blog: Revision 0003 failed: because. Correct it."]
    backed_up = report({"backup": {"databases": [{"name": "shop", "outcome": "backed_up"}]}}, View(check_mode=True))
    assert "would be backed up" in backed_up.lines[1]
    assert "unknown" not in backed_up.lines[1]


EVERY = View(completed=lambda line, hosts: f"{line} for {','.join(hosts)}", names_hosts=True)


def test_the_plans_of_several_hosts_are_one_table() -> None:
    pending = [{"revision": "0002", "message": "two"}]
    todo = {"current": ["0001"], "heads": ["0002"], "pending": pending}
    refused = {**todo, "obstacles": [{**ERROR, "code": "some-code"}]}
    found = {
        "web1": {"plan": {"shipped": True, "databases": [planned("shop", **todo), planned("forum", **todo)]}},
        "web2": {"plan": {"shipped": True, "databases": [planned("shop", **todo), planned("forum", **refused)]}},
        "web3": {"plan": {"shipped": False, "databases": []}},
    }

    made = render_joint(found, EVERY)

    assert made.table[0].startswith("3 databases (shop, forum) on web1, web2  0001 -> 0002")
    assert "forum on web2  0001 -> 0002" in made.table
    (line,) = [line for line in made.table if "REFUSED" in line]
    assert line.endswith(" for web2")
    assert (sorted(made.kinds or []), made.without) == (["refused", *["to upgrade"] * 3], ["web3"])


@pytest.mark.parametrize(
    ("check_mode", "kinds"), [(False, ["backed up", "failed"]), (True, ["would be backed up", "failed"])]
)
def test_a_row_of_several_hosts_names_its_host(check_mode: bool, kinds: list[str]) -> None:
    def backed_up(outcome: str) -> dict[str, Any]:
        return {"backup": {"databases": [{"name": "shop", "outcome": outcome, "after": ["0001"]}]}}

    view = View(check_mode, names_hosts=True)
    made = render_joint({"web1": backed_up("backed_up"), "web2": backed_up("failed")}, view)

    assert [line.split()[:2] for line in made.table] == [["HOST", "DATABASE"], ["web1", "shop"], ["web2", "shop"]]
    assert made.kinds == kinds


def test_a_revision_that_was_rehearsed_on_several_hosts_is_one_line() -> None:
    def rehearsed(seconds: float) -> dict[str, Any]:
        steps = [rehearsed_step("0002", message="notes", seconds=seconds)]
        entry = {"name": "shop", "outcome": "rehearsed", "before": ["0001"], "goal": ["0002"], "revisions": steps}
        return {"rehearse": {"databases": [{**entry, "upgrade_seconds": 1.0, "expected_seconds": 1.0}]}}

    made = render_joint({"web1": rehearsed(0.5), "web2": rehearsed(2.0)}, EVERY)

    (line,) = [line for line in made.table if "0002  notes" in line]
    assert "2 databases, at most 2.0 s (shop on web2)" in line


def test_where_no_host_has_anything_that_is_one_line_and_no_count() -> None:
    made = render_joint({"web1": {"recover": {"databases": []}}, "web2": {"recover": {"databases": []}}}, EVERY)

    assert (len(made.table), made.kinds) == (1, [])
