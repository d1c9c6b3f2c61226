"""How much a person has to read of a run that fails: the answer in five seconds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet import Fleet
from tests.integration.site import PLAYBOOKS, Site, Source
from tests.integration.targets import PostgresTarget, SQLiteTarget
from tests.lab import ansible

#: Of a run over as many databases as one likes, with all lines of Ansible's own.
MOST_LINES = 60
MISSPELT = "op.add_column('item', sa.Column('total', sa.Integer()))\nop.execute('UPDATE itme SET total = 0')"
CAUSE = 'relation "itme" does not exist, versions/b2_total.py'


def broken(source: Source) -> Source:
    return source.keep("0001").add("b2_total", "0001", MISSPELT)


@pytest.fixture
def fleet(tmp_path: Path, newest_virtualenv: Path) -> Fleet:
    return Fleet(tmp_path, newest_virtualenv, 4)


def migrated(fleet: Fleet, site: Site, make: Callable[[], PostgresTarget], count: int) -> Source:
    """Bring so many databases of each host to the first revision; return the release that fails."""
    for name in fleet.names:
        fleet.own[name] = {"migrate_databases": [make().entry for _ in range(count)]}
    fleet.run("migrate", migrate_source=site.source("broken", "good").keep("0001"))
    return broken(site.source("broken"))


def assert_is_the_end(outcome: ansible.Outcome, last: str) -> list[str]:
    """What is printed of the whole run comes last, and says the cause once; before it each host says it once."""
    (result,) = outcome.results("Summarise the run")
    lines: list[str] = result["lines"]
    assert lines[-1] == last
    before, printed, rest = outcome.output.split("PLAY RECAP")[0].partition("\n".join(lines))
    # Behind it is the result of its own task, and nothing else.
    assert printed, before
    assert len(rest.split("\n\n", 1)[1].splitlines()) <= 3, rest
    assert "\n".join(lines).count(CAUSE) == 1
    failed = outcome.results("Upgrade each database", kind="failed")
    assert [each["msg"].count("\n") for each in failed] == [0] * len(failed)
    assert outcome.output.count(CAUSE) == 1 + len(failed)
    assert "[ERROR]" not in outcome.output
    return lines


def test_a_revision_that_fails_on_the_first_of_four_hosts(
    fleet: Fleet, site: Site, more_postgres: Callable[[], PostgresTarget]
) -> None:
    source = migrated(fleet, site, more_postgres, 4)
    outcome = fleet.run("migrate", code=2, migrate_source=source)
    lines = assert_is_the_end(outcome, "16 databases: 12 not begun, 4 failed")
    assert len(outcome.output.splitlines()) < 100
    (cause,) = [line for line in lines if CAUSE in line]
    assert cause.startswith("4 databases (")
    assert "UPDATE itme" in cause


@pytest.mark.exhaustive
def test_a_revision_that_fails_on_four_hosts_at_once(
    fleet: Fleet, site: Site, more_postgres: Callable[[], PostgresTarget]
) -> None:
    source = migrated(fleet, site, more_postgres, 1)
    outcome = fleet.run("migrate", code=2, migrate_source=source, migrate_rollout=["100%"])
    lines = assert_is_the_end(outcome, "4 databases: 4 failed")
    # Most are Ansible's own: a line a host for each task, and four for each that has failed.
    assert len(outcome.output.splitlines()) < 120
    assert {name: host["failures"] for name, host in outcome.stats.items()} == dict.fromkeys(fleet.names, 1)
    assert len([line for line in lines if CAUSE in line]) == 1


@pytest.fixture
def json_of(site: Site, sqlite: SQLiteTarget) -> Callable[..., tuple[int, list[tuple[str, dict[str, Any]]]]]:
    """Run a playbook with the callback json; its exit code, and the name and the result of each task."""

    def run(verb: str, **settings: Any) -> tuple[int, list[tuple[str, dict[str, Any]]]]:
        inventory = site.inventory(migrate_databases=[sqlite.entry], **settings)
        env = {"ANSIBLE_STDOUT_CALLBACK": "json"}
        outcome = ansible.playbook(PLAYBOOKS / f"{verb}.yml", inventory=inventory, env=env)
        printed = json.loads(outcome.output[outcome.output.index("{") :])
        tasks = [task for play in printed["plays"] for task in play["tasks"]]
        return outcome.code, [(task["task"]["name"], result) for task in tasks for result in task["hosts"].values()]

    return run


def test_with_the_callback_json_standard_output_is_json_and_the_verb_has_failed(
    site: Site, json_of: Callable[..., tuple[int, list[tuple[str, dict[str, Any]]]]]
) -> None:
    source = site.source("broken").keep("0001").add("0002", "0001", downgrade="raise RuntimeError('stays')")
    code, results = json_of("migrate", migrate_source=source)
    assert code == 0
    assert not [name for name, result in results if result.get("failed")]
    assert [result["lines"][-1] for name, result in results if "Summarise" in name] == ["1 database: 1 upgraded"]

    code, results = json_of("rollback", migrate_source=source)
    assert code == 2
    first, report = [(name, result["msg"]) for name, result in results if result.get("failed")]
    assert "Roll back the databases" in first[0]
    assert "stays" in first[1]
    assert "playbooks/rollback.yml -e" in report[1]  # what to type, of the whole result

    source.add("0003", "0002", "raise RuntimeError('fails on purpose')")
    code, results = json_of("migrate", migrate_source=source)
    assert code == 2
    first, *_rest = [(name, result["msg"]) for name, result in results if result.get("failed")]
    assert "Upgrade each database" in first[0]
    assert "fails on purpose" in first[1]


def test_with_the_callback_json_each_playbook_prints_json_and_what_it_reports(
    site: Site, json_of: Callable[..., tuple[int, list[tuple[str, dict[str, Any]]]]]
) -> None:
    settings = {"migrate_source": site.source("generic")}
    folder = {"migrate_schedule_folder": site.folder / "schedule"}
    windows = {"migrate_windows": [{"start": "22:00", "duration": "2h"}]}
    restored = {"migrate_restore_databases": ["app"], "migrate_restore_loses_writes": True}
    calls: dict[str, dict[str, Any]] = {
        **dict.fromkeys(("ship", "plan", "rehearse", "migrate", "status", "backup", "backups", "rollback"), settings),
        **dict.fromkeys(("recover", "prune"), settings),
        "restore": {**settings, **restored},
        "schedule": {**folder, **windows},
        "unschedule": folder,
    }
    assert calls.keys() == {path.stem for path in PLAYBOOKS.glob("*.yml")}

    for verb, options in calls.items():
        code, results = json_of(verb, **options)
        assert (code, [result for _name, result in results if result.get("failed")]) == (0, []), verb
        reported = [result["lines"] for _name, result in results if result.get("lines")]
        assert reported or verb in ("ship", "schedule", "unschedule"), verb


@pytest.fixture
def make_many(site: Site, tmp_path: Path) -> Callable[..., dict[str, SQLiteTarget]]:
    """Make so many SQLite files, which the host finds; those that are named have two rows of one reference."""

    def make(count: int, twice: Iterable[str] = ()) -> dict[str, SQLiteTarget]:
        made = {}
        for name in (f"t{number:03}" for number in range(1, count + 1)):
            path = tmp_path / "sites" / name / "app.db"
            path.parent.mkdir(parents=True)
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("create table orders (reference text)")
                rows = [("A",), ("A" if name in twice else "B",)]
                connection.executemany("insert into orders values (?)", rows)
            made[name] = SQLiteTarget(path, name)
        template = {"name": "{folder}", "url": "sqlite:///{path}"}
        files = {"name": "sites", "files": [f"{tmp_path}/sites/*/app.db"], "template": template}
        site.variables.update(migrate_discover=[files], migrate_workers=4)
        return made

    return make


def details(lines: list[str]) -> dict[str, Any]:
    """The file that a report names for each database."""
    (place,) = [line.partition(": ")[2] for line in lines if line.startswith("Each database: ")]
    return dict(json.loads(Path(place).read_text()))


def test_a_run_over_a_hundred_databases_is_a_screen_and_the_file_that_it_names_has_each(
    site: Site, make_many: Callable[..., dict[str, SQLiteTarget]]
) -> None:
    targets = make_many(100)
    source = site.source("broken").keep("0001")
    outcome = site.run("migrate", migrate_source=source)

    assert {tuple(target.revisions) for target in targets.values()} == {("0001",)}
    assert len(outcome.output.splitlines()) <= MOST_LINES, outcome.output
    (summary,) = outcome.results("Summarise the run")
    assert summary["lines"][-1] == "100 databases: 100 upgraded"
    assert [line.split()[:3] for line in summary["lines"] if line.startswith("100 databases ")] == [
        ["100", "databases", "upgraded"]
    ]
    kept = details(summary["lines"])["hosts"]["here"]["upgrade"]["databases"]
    assert {entry["name"]: entry["after"] for entry in kept} == {name: ["0001"] for name in targets}
    # A plan and an upgrade that took longer than one poll have printed how far they were, and the result has it.
    progress = [line for verb in ("Plan", "Upgrade") for line in outcome.results(f"{verb} e")[-1]["progress"]]
    assert all(f"  {line}" in outcome.output for line in progress)
    assert all(line.startswith("[") and "/100] t" in line for line in progress)

    again = site.run("migrate", migrate_source=source)
    assert len(again.output.splitlines()) <= 40
    for verb in ("plan", "status", "backups"):
        read = site.run(verb, migrate_source=source)
        assert len(read.output.splitlines()) <= MOST_LINES // 2, verb
        (report,) = read.results("Report")
        if verb == "plan":  # there is nothing more to know of each
            assert report["lines"][-1] == "100 databases: 100 at head"
        else:
            assert len(details(report["lines"])[verb]["databases"]) == 100


def test_two_failures_among_forty_are_named_once_and_those_that_are_well_are_not(
    site: Site, make_many: Callable[..., dict[str, SQLiteTarget]]
) -> None:
    targets = make_many(40, twice=("t007", "t023"))
    source = (
        site.source("broken")
        .keep("0001")
        .add("0002", "0001", "op.create_index('u', 'orders', ['reference'], unique=True)")
    )
    outcome = site.run("migrate", code=2, migrate_source=source)

    assert {name for name, target in targets.items() if target.revisions != ["0002"]} == {"t007", "t023"}
    (summary,) = outcome.results("Summarise the run")
    lines: list[str] = summary["lines"]
    assert lines[-1] == "40 databases: 38 upgraded, 2 failed"
    named = {name for name in targets for line in lines if name in line.replace("(", " ").split(",")[0].split()}
    assert {"t007", "t023"} <= named
    (cause,) = [line for line in lines if "UNIQUE constraint failed" in line]
    assert cause.startswith("2 databases (t007, t023): ")
    assert [line for line in lines if '"migrate_retry_failed": ["t007", "t023"]' in line]
    assert not [line for line in lines if "t001" in line or "t040" in line]
    assert len(outcome.output.splitlines()) <= MOST_LINES + 20  # a failure, its revert and the report of both

    planned = site.run("plan", code=2, migrate_source=source)
    assert "[WARNING]" not in planned.output  # the report says it
    status = site.run("status", migrate_source=source)
    rows = [line.split()[0] for line in status.results("Report")[0]["lines"]]
    assert rows[:4] == ["DATABASE", "38", "t007", "t023"]


def test_a_cause_on_several_hosts_is_printed_in_full_by_one_of_them(fleet: Fleet, site: Site) -> None:
    source = site.source("broken").keep("0001").add("0002", "0001", downgrade="raise RuntimeError('stays')")
    fleet.run("migrate", migrate_source=source)

    outcome = fleet.run("rollback", code=2, migrate_source=source)

    messages = [result["msg"] for result in outcome.results("Report the failure", kind="failed")]
    assert len(messages) == 4
    assert sorted("stays" in message for message in messages) == [False, False, False, True]
    assert all("[rollback-failed]" in message for message in messages)


def test_what_a_plan_refuses_on_several_hosts_is_printed_once(fleet: Fleet, site: Site) -> None:
    for name in fleet.names:
        folder = fleet.folder / name
        fleet.own[name] = {
            "migrate_databases": [{"name": f"db{n}", "url": f"sqlite:///{folder}/{n}.db"} for n in (1, 2, 3, 4)]
        }
    fleet.run("migrate", migrate_source=site.source("broken", "good").keep("0001"))
    source = broken(site.source("broken"))

    fleet.run("ship", migrate_source=source)

    good = fleet.run("plan", migrate_source=source)
    assert good.output.count("revision b2_total") == 1
    assert good.output.count("16 databases on web1, web2, web3, web4  ") == 1
    assert good.output.count("the same as on") == 0
    assert good.output.count("4 hosts, 16 databases: 16 to upgrade") == 1
    assert len(good.output.splitlines()) <= MOST_LINES

    both = fleet.folder / "both.yml"
    both.write_text(f"- import_playbook: {PLAYBOOKS}/plan.yml\n" * 2)
    again = ansible.playbook(both, inventory=fleet.inventory(migrate_source=source)).ended(0)
    assert again.output.count("4 hosts, 16 databases: 16 to upgrade") == 2

    fleet.run("migrate", code=2, migrate_source=source, migrate_rollout=["100%"])
    cause = "no such table: itme"
    for verb, code in (("plan", 2), ("status", 0), ("migrate", 2)):
        outcome = fleet.run(verb, code=code, migrate_source=source)
        before, _summary, _rest = outcome.output.partition("PLAY [Migrate")
        assert before.count(cause) == 1, verb
        assert before.count("the same as on") == (0 if verb == "plan" else 3), verb
    status = fleet.run("status", migrate_source=source)
    assert len([line for line in status.output.splitlines() if line.startswith("4 hosts  16 databases")]) == 1
    assert status.output.count("DATABASE ") == 1
    (last,) = [result["joint"][-1] for result in status.results("Report") if "joint" in result]
    assert last == "4 hosts, 16 databases: 16 to upgrade"
    rehearsal = fleet.run("rehearse", code=2, migrate_source=source, migrate_retry_failed=True).output
    (rehearsed,) = [line for line in rehearsal.splitlines() if "UPDATE itme" in line]
    assert "versions/b2_total.py:" in rehearsed
    assert rehearsal.count("4 hosts, 16 databases: 16 failed") == 1  # also where one has failed before the next began


def test_what_preflight_refuses_on_each_host_is_printed_once(fleet: Fleet, site: Site) -> None:
    outcome = fleet.run("plan", code=2, migrate_source=site.source("broken"), migrate_workers="many")
    assert outcome.output.count("migrate_workers") == 1
    assert {host["failures"] for host in outcome.stats.values()} == {1}

    outcome = fleet.run("migrate", code=2, migrate_source=site.source("broken", "again"), migrate_workers="many")
    (summary,) = outcome.results("Summarise the run")
    (cause,) = [line for line in summary["lines"] if "migrate_workers" in line]
    assert cause.startswith("4 hosts (web1, web2, web3, web4): ")
