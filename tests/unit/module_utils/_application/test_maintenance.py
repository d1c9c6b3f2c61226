from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._application.maintenance import begin, end
from ansible_collections.hosting.alembic.plugins.module_utils._application.maintenance_record import read_maintenance
from ansible_collections.hosting.alembic.plugins.module_utils._application.pgbouncer import parse_place
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import Layout
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Journal
from tests.codes import failed, refused

Options = dict[str, Any]


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """Two services, of which both run."""
    (tmp_path / "run").mkdir()
    for name in ("web", "worker"):
        (tmp_path / "run" / name).touch()
    return {
        "root": str(tmp_path / "root"),
        "state": "begun",
        "run": "r1",
        "names": ["app"],
        "databases": [],
        "services": [service(tmp_path, "web"), service(tmp_path, "worker")],
        "file": str(tmp_path / "flag"),
        "pgbouncer_url": "",
        "pgbouncer_password": "",
        "pgbouncer_databases": [],
        "pgbouncer_timeout": 5,
        "pg_bin": "",
        "force": False,
    }


def service(folder: Path, name: str, **more: Any) -> dict[str, Any]:
    """A service that runs while a file is there, and records the calls and whether the flag is up."""
    runs = folder / "run" / name
    note = f"echo {{}} {name} $(test -e {folder}/flag && echo flag) >> {folder}/calls; "
    start, stop = (
        ["sh", "-c", note.format(verb) + f"{do} {runs}"] for verb, do in (("start", "touch"), ("stop", "rm"))
    )
    return {"name": name, "start": start, "stop": stop, "status": ["test", "-e", str(runs)], "timeout": 2, **more}


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def ended(options: Options, **more: Any) -> Any:
    return end({**options, "state": "ended", **more})


def journal(options: Options, run: str, *outcomes: tuple[str, str]) -> None:
    """Write what a run has done to the database."""
    path = Layout(Path(options["root"])).locate_journal("app", run)
    Journal(path, "upgrade").write("planned", release="x")
    Journal(path, "upgrade").write("begun", revision="1", table="t")
    for verb, outcome in outcomes:
        Journal(path, verb).write("done", result={"name": "app", "outcome": outcome})


def test_the_last_to_stop_is_the_first_to_start_and_the_flag_is_up_all_the_while(
    options: Options, tmp_path: Path
) -> None:
    begun = begin(options)
    assert begun["done"] == [options["file"], "web", "worker"]
    left = read_maintenance(options["root"])
    assert left
    assert left == {**begun["maintenance"], "seconds": left["seconds"]}
    done = ended(options)
    assert done["done"] == ["worker", "web", options["file"]]
    assert done["maintenance"]["ended"]
    assert calls(tmp_path) == ["stop web flag", "stop worker flag", "start worker flag", "start web flag"]
    assert not Path(options["file"]).exists()
    assert read_maintenance(options["root"]) is None
    assert ended(options) == {"changed": False, "done": [], "maintenance": None}


def test_it_is_written_down_before_the_first_stop(options: Options, tmp_path: Path) -> None:
    state = tmp_path / "root" / "maintenance.json"
    options["services"][0]["stop"] = ["sh", "-c", f"cp {state} {tmp_path}/seen; rm {tmp_path}/run/web"]
    begin(options)
    seen = json.loads((tmp_path / "seen").read_text())
    assert [each["name"] for each in seen["services"]] == ["web", "worker"]
    assert state.stat().st_mode & 0o777 == 0o600


def test_check_mode_changes_nothing(options: Options, tmp_path: Path) -> None:
    foreseen = begin(options, check=True)
    assert (foreseen["changed"], foreseen["done"]) == (True, [options["file"], "web", "worker"])
    assert calls(tmp_path) == []
    assert not (tmp_path / "root").exists()
    begin(options)
    assert end({**options, "state": "ended"}, check=True)["done"] == ["worker", "web", options["file"]]
    assert read_maintenance(options["root"])


def test_what_is_begun_again_remembers_what_ran_at_first(options: Options, tmp_path: Path) -> None:
    begin(options)
    (tmp_path / "run" / "web").touch()  # an operator has started it meanwhile
    again = begin({**options, "run": "r2", "names": ["other"]})
    assert again["done"] == ["web"]
    assert again["maintenance"]["databases"] == ["app", "other"]
    ended({**options, "services": []})
    assert (tmp_path / "run" / "web").exists()
    assert (tmp_path / "run" / "worker").exists()


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([("upgrade", "failed")], "cut_short"),
        ([], "cut_short"),
        ([("upgrade", "failed"), ("downgrade", "held")], "held"),
        ([("upgrade", "failed"), ("downgrade", "downgraded")], ""),
        ([("upgrade", "upgraded")], ""),
    ],
)
def test_a_database_that_no_application_may_use_keeps_it_up(
    options: Options, tmp_path: Path, outcomes: list[tuple[str, str]], state: str
) -> None:
    begin(options)
    journal(options, "r1", *outcomes)
    answer = ended(options)
    keepers = [{"name": "app", "state": state, "run": "r1"}] if state else []
    assert answer["maintenance"]["kept_by"] == keepers
    assert (tmp_path / "run" / "web").exists() == (not state)
    assert ended(options, force=True)["changed"] == bool(state)
    assert (tmp_path / "run" / "web").exists()


def test_what_an_older_run_holds_is_not_its_concern(options: Options) -> None:
    journal(options, "older", ("upgrade", "failed"), ("downgrade", "held"))
    begin(options)
    assert ended(options)["maintenance"]["ended"]


def test_what_does_not_start_stays_written_down_and_the_flag_up(options: Options, tmp_path: Path) -> None:
    good = options["services"][0]["start"]
    options["services"][0]["start"] = ["false"]
    begin(options)
    with failed("maintenance-not-ended", "[service-failed]", "web"):
        ended(options)
    assert Path(options["file"]).exists()
    assert (tmp_path / "run" / "worker").exists()
    state = tmp_path / "root" / "maintenance.json"
    facts = json.loads(state.read_text())
    assert [each["name"] for each in facts["services"]] == ["web"]
    state.write_text(json.dumps({**facts, "services": [{**facts["services"][0], "start": good}]}))
    ended(options)
    assert (tmp_path / "run" / "web").exists()


def test_one_that_does_not_stop_leaves_the_others_to_be_started(options: Options, tmp_path: Path) -> None:
    options["services"][1]["stop"] = ["false"]
    with failed("service-failed", "worker"):
        begin(options)
    assert not (tmp_path / "run" / "web").exists()
    ended(options)
    assert (tmp_path / "run" / "web").exists()


def test_what_cannot_begin_changes_nothing(options: Options, tmp_path: Path) -> None:
    options["file"] = str(tmp_path / "no" / "flag")
    with refused("maintenance-file-not-made", tmp_path / "no"):
        begin(options)
    assert (calls(tmp_path), read_maintenance(options["root"])) == ([], None)


def test_a_flag_of_another_users_stays(options: Options) -> None:
    Path(options["file"]).touch()
    begin(options)
    ended(options)
    assert Path(options["file"]).exists()


def test_started_leaves_the_flag_up(options: Options, tmp_path: Path) -> None:
    begin(options)
    done = end({**options, "state": "started"})
    assert (done["done"], done["maintenance"]["ended"]) == (["worker", "web"], False)
    assert Path(options["file"]).exists()
    assert (tmp_path / "run" / "web").exists()
    assert ended(options)["done"] == [options["file"]]


def test_its_end_reports_all_that_was_in_maintenance_also_of_what_was_started_before(options: Options) -> None:
    begin(options)
    end({**options, "state": "started"})
    between = read_maintenance(options["root"])
    assert between is not None
    assert between["services"] == []
    reported = ended(options)["maintenance"]
    assert (reported["services"], reported["file"], reported["ended"]) == (["web", "worker"], options["file"], True)


def test_what_was_started_and_stopped_again_is_reported_once(options: Options) -> None:
    begin(options)
    end({**options, "state": "started"})
    begin({**options, "run": "r2"})
    assert ended(options)["maintenance"]["services"] == ["web", "worker"]


@pytest.mark.parametrize("password", ["p/1:2", "a?b", "c#d/5", "%2F"])
def test_a_password_does_not_make_another_place_of_a_url(password: str) -> None:
    assert parse_place(f"postgresql://shop:{password}@pool.example.net:6432/shop") == ("pool.example.net", 6432)
