"""The modules as Ansible runs them, each in a process of its own."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import read_events
from ansible_collections.hosting.alembic.plugins.module_utils._release.digest import hash_shipped
from ansible_collections.hosting.alembic.plugins.module_utils._release.lookup import note_current
from tests.codes import assert_error, assert_names
from tests.lab.waiting import wait_until
from tests.unit.plugin_utils._follow.test_reducing import ON_HOSTS
from tests.unit.stage import Answer, Host, heads, in_process, script, sql, tables


def call(module: str, *, check: bool = False, **options: Any) -> Answer:
    """Run a module and return its result."""

    def work() -> Answer:
        source = importlib.import_module(f"ansible_collections.hosting.alembic.plugins.modules.{module}")
        printed = io.StringIO()
        with (
            redirect_stdout(printed),
            patch_module_args({**options, "_ansible_check_mode": check}),
            pytest.raises(SystemExit),
        ):
            source.main()
        return dict(json.loads(printed.getvalue()))

    return in_process(work)


def without_age(status: Answer) -> Answer:
    """Return a status without what differs from second to second."""
    return {**status, "backups": [{**backup, "age": 0} for backup in status["backups"]]}


@pytest.fixture
def given(host: Host, file: Path) -> dict[str, Any]:
    """What every verb is given."""
    return {"root": str(host.root), "databases": [{"name": "app", "url": f"sqlite:///{file}"}]}


def test_without_a_release_the_plan_says_so_and_the_status_too(given: dict[str, Any]) -> None:
    plan = call("plan_info", **given)
    assert (plan["shipped"], plan["pending"], plan["databases"], plan["changed"]) == (False, False, [], False)

    (state,) = call("status_info", **given)["databases"]
    assert_error(state["problems"][0], "release-missing")
    assert state["backups"] == []


@pytest.mark.parametrize("verb", ["upgrade", "backup", "downgrade"])
def test_without_a_release_a_verb_fails_with_how_to_ship_one(given: dict[str, Any], verb: str) -> None:
    answer = call(verb, run="r1", **given)

    assert answer["failed"]
    assert answer["code"] == "release-missing"
    assert "ship.yml" in answer["msg"]


def test_the_main_job(host: Host, file: Path, given: dict[str, Any]) -> None:
    host.ship("generic")
    plan = call("plan_info", **given)
    assert (plan["shipped"], plan["pending"], plan["refusals"]) == (True, True, [])
    predicted = call("upgrade", run="r1", check=True, **given)
    assert not file.exists()

    done = call("upgrade", run="r1", follow=60, **given)
    assert heads(file) == ["0002"]
    again = call("upgrade", run="r2", follow=60, **given)
    rehearsal = call("rehearse", run="r2", check=True, **given)
    status = call("status_info", **given)
    listed = call("backups_info", root=given["root"], databases=["app"])
    back = call("rollback", run="r3", follow=60, **given)

    assert (done["changed"], done["finished"]) == (True, True)
    assert done["diff"] == predicted["diff"] == {"before": "app: base\n", "after": "app: 0002\n"}
    assert predicted["changed"]
    assert set(predicted["databases"][0]) == set(done["databases"][0])
    assert (again["changed"], again["databases"][0]["outcome"]) == (False, "unchanged")
    assert (rehearsal["changed"], rehearsal["databases"]) == (False, [])
    assert status["databases"][0]["last_change"]["run"] == "r1"
    (backup,) = listed["databases"][0]["backups"]
    assert (backup["run"], backup["proven"], listed["changed"]) == ("r1", True, False)
    assert [{**each, "age": backup["age"]} for each in status["databases"][0]["backups"]] == [backup]
    assert back["databases"][0]["outcome"] == "downgraded"
    assert heads(file) == []


def test_what_fails_fails_the_module_with_one_line_a_database(host: Host, file: Path, given: dict[str, Any]) -> None:
    host.ship("broken")
    script(file, "create table mine (a)")

    answer = call("upgrade", run="r1", follow=60, **given)

    assert (answer["failed"], answer["changed"]) == (True, True)
    assert answer["msg"].startswith("app: Revision 0003 (fails in its middle) failed")
    assert "\n" not in answer["msg"]
    back = call("downgrade", run="r1", follow=60, **given)
    assert not back.get("failed")
    assert tables(file) == {"mine"}


def test_check_mode_of_what_would_be_refused_fails_with_the_same_keys(host: Host, given: dict[str, Any]) -> None:
    host.ship("multi_heads")

    plan = call("plan_info", **given)
    answer = call("upgrade", run="r1", check=True, **given)

    assert not plan.get("failed")
    assert plan["pending"]
    assert "[several-heads]" in plan["refusals"][0]
    assert answer["failed"]
    assert answer["databases"][0]["outcome"] == "refused"


#: What was done before, what is attached to, and how that ends.
LATE: dict[str, tuple[str, list[tuple[str, dict[str, Any]]], dict[str, Any], str]] = {
    "upgrade": ("generic", [], {"run": "r1"}, "upgraded"),
    "backup": ("generic", [("upgrade", {"run": "r1"})], {"run": "r2"}, "backed_up"),
    "rehearse": ("generic", [("upgrade", {"run": "r1", "target": "0001"})], {"run": "r2"}, "rehearsed"),
    "downgrade": ("broken", [("upgrade", {"run": "r1"})], {"run": "r1"}, "restored"),
    "recover": ("broken", [("upgrade", {"run": "r1"})], {"run": "r2"}, "restored"),
    "rollback": ("generic", [("upgrade", {"run": "r1"})], {"run": "r2", "of_run": "r1"}, "downgraded"),
    "rollback of its own run": ("generic", [("upgrade", {"run": "r1"})], {"run": "r1", "of_run": "r1"}, "downgraded"),
    "restore": ("generic", [("upgrade", {"run": "r1"})], {"run": "r2", "of_run": "r1"}, "restored"),
}


def _ends(event: Answer, verb: str) -> bool:
    return event["event"] == "done" and str(event["verb"]).startswith(verb)


@pytest.mark.parametrize("what", LATE)
def test_a_verb_that_is_attached_to_after_its_end_says_how_it_ended(
    host: Host, file: Path, given: dict[str, Any], what: str
) -> None:
    fixture, before, options, outcome = LATE[what]
    verb = what.split(maxsplit=1)[0]
    host.ship(fixture)
    script(file, "create table mine (a)")
    for earlier, its in before:
        call(earlier, follow=60, **its, **given)
    path = (
        host.layout.locate_rehearsal("app", "r2")
        if verb == "rehearse"
        else host.layout.locate_journal("app", options["run"])
    )

    first = call(verb, follow=0, **options, **given)
    wait_until(lambda: any(_ends(event, verb) for event in read_events(path)), f"the {verb} ends")
    late: dict[str, Any] = {"attach": True, "cursor": first.get("cursor") or {}, "follow": 0}
    last = call(verb, **late, **options, **given)

    assert not first["databases"], "it was fast; this test is about what is not"
    assert last["finished"]
    assert [(entry["name"], entry["outcome"]) for entry in last["databases"]] == [("app", outcome)]
    assert last["changed"]
    if verb not in ("backup", "rehearse"):
        assert last["databases"][0]["after"] == (heads(file) if "alembic_version" in tables(file) else [])


def test_check_mode_of_a_rollback_changes_nothing(host: Host, file: Path, given: dict[str, Any]) -> None:
    host.ship("generic")
    call("upgrade", run="r1", follow=60, **given)

    answer = call("rollback", run="r2", of_run="r1", check=True, **given)

    assert answer["changed"]
    assert heads(file) == ["0002"]


def test_check_mode_of_a_rollback_says_from_where_to_where_and_what_is_refused(
    host: Host, file: Path, given: dict[str, Any]
) -> None:
    host.ship("generic")
    call("upgrade", run="r1", target="0001", follow=60, **given)
    (before,) = call("rollback", run="back", of_run="r1", check=True, **given)["databases"]
    call("upgrade", run="r2", follow=60, **given)

    answer = call("rollback", run="back", of_run="r1", check=True, **given)

    assert (before["outcome"], before["before"], before["after"]) == ("downgraded", ["0001"], [])
    assert not answer.get("failed")
    assert answer["databases"][0]["outcome"] == "refused"
    assert "migrate_rollback_run=r2" in answer["databases"][0]["error"]["remedy"]
    real = call("rollback", run="back", of_run="r1", follow=60, **given)
    assert real["databases"][0]["error"] == answer["databases"][0]["error"]
    assert heads(file) == ["0002"]


def test_a_recovery_clears_a_failure_that_is_named_without_running_anything(
    host: Host, file: Path, given: dict[str, Any]
) -> None:
    host.ship("broken")
    script(file, "create table mine (a)")
    call("upgrade", run="r1", follow=60, **given)
    call("downgrade", run="r1", follow=60, **given)
    assert call("plan_info", **given)["refusals"]
    before = file.read_bytes()

    other = call("recover", run="c1", retry_failed=["other"], **given)
    named = call("recover", run="c2", retry_failed=["app"], **given)

    assert other["databases"] == []
    assert [(entry["name"], entry["outcome"], entry["of_run"]) for entry in named["databases"]] == [
        ("app", "cleared", "r1")
    ]
    assert not call("plan_info", **given)["refusals"]
    assert file.read_bytes() == before


def test_check_mode_of_a_rehearsal_foresees_one_of_a_database_that_failed(
    host: Host, file: Path, given: dict[str, Any]
) -> None:
    host.ship("broken")
    script(file, "create table mine (a)")
    call("upgrade", run="r1", follow=60, **given)
    call("downgrade", run="r1", follow=60, **given)

    foreseen = call("rehearse", run="r2", check=True, **given)
    done = call("rehearse", run="r2", follow=60, **given)

    assert [entry["outcome"] for entry in foreseen["databases"]] == ["rehearsed"]
    assert [entry["error"]["code"] for entry in done["databases"]] == ["revision-failed"]
    assert tables(file) == {"mine"}


def test_a_secret_is_in_no_result(host: Host, given: dict[str, Any]) -> None:
    host.ship("generic")
    entry = {
        "name": "app",
        "url": "postgresql://u:hunter%402@127.0.0.1:1/shop",
        "password": "sesame",
        "environment": {"KEY": "abracadabra"},
    }

    answers = [call(verb, **{**given, "databases": [entry]}) for verb in ("plan_info", "status_info")]

    for answer in answers:
        text = json.dumps(answer)
        assert not [secret for secret in ("hunter", "sesame", "abracadabra") if secret in text]


def test_a_release_is_installed_once(host: Host, tmp_path: Path) -> None:
    import tarfile  # noqa: PLC0415

    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "env.py").write_text("")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(folder / "env.py", "env.py")
    wanted: dict[str, Any] = {
        "root": str(host.root),
        "release": "abc",
        "content": hash_shipped(folder),
        "virtualenv": sys.prefix,
    }

    requested = call("release", **wanted)
    checked = call("release", archive=str(tmp_path / "a.tar.gz"), check=True, **wanted)
    assert not host.layout.release("abc").exists()
    done = call("release", archive=str(tmp_path / "a.tar.gz"), **wanted)
    again = call("release", **wanted)

    assert (requested["needs"], requested["changed"]) == (["archive"], True)
    assert checked["changed"]
    assert (done["changed"], done["diff"]) == (True, {"before": "none\n", "after": "abc\n"})
    assert (again["needs"], again["changed"]) == ([], False)


def test_rows_that_are_lost_are_reported_without_failing(host: Host, file: Path, given: dict[str, Any]) -> None:
    host.revise(host.ship("generic"), "0003", "0002", 'op.execute("delete from mine")')
    script(file, "create table mine (a); insert into mine values (1)")

    answer = call("upgrade", run="r1", follow=60, **given)

    assert not answer.get("failed")
    assert answer["databases"][0]["lost_rows"] == {"mine": [1, 0]}
    assert sql(file, "select * from mine") == []


_OWN: dict[str, dict[str, Any]] = {
    "backups_info": {"databases": ["app"]},
    "health": {"checks": [{"sql": "SELECT 1", "expect": 1}]},
    "maintenance": {"state": "begun"},
    "release": {"release": "abc", "content": "abc"},
    "restore": {"only": ["app"]},
    "fetch_backups": {"databases": ["app"], "backup_copy_to": "controller:/srv"},
}
_WITH_A_RUN = {"backup", "downgrade", "recover", "rehearse", "restore", "rollback", "upgrade"}


def _working(module: str) -> Any:
    """The file in which a module does its work."""
    answers = "ansible_collections.hosting.alembic.plugins.module_utils._answers"
    return importlib.import_module(f"{answers}.{module}")


def _calls_of(module: str) -> list[str]:
    """The functions that a module calls, but for those by which it answers."""
    source = _working(module)
    names = {*source.respond.__code__.co_names}
    own = {"build_module", "answer_errors", "leave", "fail", "format_errors", "build_diff"}
    found = [name for name in sorted(names - own) if callable(getattr(source, name, None))]
    return [name for name in found if not isinstance(getattr(source, name), type)]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in ON_HOSTS for name in _calls_of(module)])
def test_whatever_raises_in_a_module_comes_back_as_data(host: Host, file: Path, module: str, name: str) -> None:
    host.ship("generic")
    script(file, "create table mine (a)")
    source = _working(module)
    options: dict[str, Any] = {"root": str(host.root), "databases": [{"name": "app", "url": f"sqlite:///{file}"}]}
    if module == "release":
        del options["databases"]
    options.update(_OWN.get(module, {}), **({"run": "r9"} if module in _WITH_A_RUN else {}))
    reached = host.root / "reached"

    def raises(*_: Any, **__: Any) -> None:
        reached.touch()
        raise RuntimeError("sesame is a password")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, name, raises)
        answer = call(module, **options)

    # A verb that is refused before does not come as far.
    assert answer.get("failed") or not reached.exists()
    if reached.exists():
        assert (answer["code"], answer["finished"], answer["databases"]) == ("module-crashed", True, [])
        assert "RuntimeError at line" in answer["msg"]
        assert "sesame" not in json.dumps(answer)
    assert tables(file) == {"mine"} or module == "upgrade"


def test_a_url_of_pgbouncer_that_cannot_be_read_is_refused(given: dict[str, Any]) -> None:
    entry = {"name": "app", "url": "postgresql://u@127.0.0.1/shop"}
    url = "postgresql://boss:se/same@localhost:pool/pgbouncer"
    answer = call("maintenance", **{**given, "databases": [entry]}, state="begun", names=["app"], pgbouncer_url=url)

    assert answer["failed"]
    assert "is not a number" in answer["msg"]
    assert "same" not in json.dumps(answer)


def test_the_status_of_one_application_is_not_reported_by_the_release_of_another(
    host: Host, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    entries = [{"name": "app", "url": f"sqlite:///{file}"}, {"name": "blog", "url": f"sqlite:///{other}"}]
    host.ship("generic", "one")
    call("upgrade", root=str(host.root), run="r1", follow=60, databases=entries[:1])
    host.ship("multi_heads", "two")

    one = call("status_info", root=str(host.root), databases=entries[:1])["databases"]
    both = call("status_info", root=str(host.root), databases=entries)["databases"]

    assert [(entry["name"], entry["current"], entry["problems"]) for entry in one] == [("app", ["0002"], [])]
    assert without_age(both[0]) == without_age(one[0])
    assert both[1]["current"] is None or both[1]["current"] == []


@pytest.fixture
def two(host: Host, file: Path, tmp_path: Path) -> dict[str, Any]:
    """Two applications' databases, each upgraded in run r1 by its own release; the one shipped last is the other's."""
    other = tmp_path / "other.db"
    entries = [{"name": "app", "url": f"sqlite:///{file}"}, {"name": "blog", "url": f"sqlite:///{other}"}]
    host.ship("generic", "one")
    call("upgrade", root=str(host.root), run="r1", follow=60, databases=entries[:1])
    host.ship("generic", "two")
    env = host.layout.release("two") / "source" / "migrations" / "env.py"
    env.write_text(
        env.read_text().replace("configure(connection", 'configure(version_table="blog_version", connection')
    )
    host.revise("two", "blog_3", "0002", "op.execute('create table blog (a)')", "op.execute('drop table blog')")
    call("upgrade", root=str(host.root), run="r1", follow=60, release="two", databases=entries[1:])
    return {"root": str(host.root), "databases": entries}


#: A table of each application that is empty.
TABLES = {"app": "page", "blog": "note"}


def newer(host: Host, release: str, name: str, revision: str, down: str) -> None:
    """Ship the next release of an application, with one revision more."""
    folder = host.layout.release(f"{release}-next")
    shutil.copytree(host.layout.release(release), folder, symlinks=True)
    table = TABLES[name]
    host.revise(
        folder.name, revision, down, f"op.execute('create table {table} (a)')", f"op.execute('drop table {table}')"
    )
    note_current(str(host.root), folder.name, [name])


def ended(verb: str, **options: Any) -> Answer:
    """Call a verb until it has ended, as its action plugin does."""
    answer = call(verb, follow=0, **options)
    until = time.monotonic() + 60
    while not answer["finished"] and time.monotonic() < until:
        answer = call(verb, follow=1, cursor=answer["cursor"], attach=True, **options)
    return answer


def places(answer: Answer) -> list[tuple[str, str, list[str] | None, list[str] | None]]:
    assert answer["finished"]
    return [(each["name"], each["outcome"], each.get("before"), each.get("after")) for each in answer["databases"]]


def test_each_application_is_backed_up_restored_and_rolled_back_by_its_own_release(
    host: Host, two: dict[str, Any]
) -> None:
    backup = ended("backup", run="r2", **two)
    rollback = ended("rollback", run="r3", of_run="r1", only=["blog", "app"], **two)
    foreseen = call("restore", check=True, run="r4", of_run="r2", restore_loses_writes=True, **two)
    restore = ended("restore", run="r4", of_run="r2", restore_loses_writes=True, **two)
    dropped = call("prune", prune=True, prune_days=0, **two)

    assert places(backup) == [("app", "backed_up", ["0002"], ["0002"]), ("blog", "backed_up", ["blog_3"], ["blog_3"])]
    assert places(foreseen) == [("app", "restored", [], ["0002"]), ("blog", "restored", [], ["blog_3"])]
    assert places(restore) == places(foreseen)
    assert [len(each["leftovers"]) for each in dropped["databases"]] == [1, 1]
    assert places(rollback) == [("app", "downgraded", ["0002"], []), ("blog", "downgraded", ["blog_3"], [])]
    assert {event["release"] for event in host.events("r2", "app") if event["event"] == "planned"} == {"one"}


def test_an_application_without_its_release_does_not_hide_the_other(host: Host, two: dict[str, Any]) -> None:
    (host.layout.release("two") / "release.json").unlink()
    host.ship("generic", "three")
    shutil.rmtree(host.layout.release("three"))

    plan = call("plan_info", **two)
    answer = call("backup", run="r2", follow=60, **two)

    assert [[obstacle["code"] for obstacle in each["obstacles"]] for each in plan["databases"]] == [
        [],
        ["release-unknown"],
    ]
    assert answer["failed"]
    assert [(each["name"], each["outcome"]) for each in answer["databases"]] == [
        ("app", "backed_up"),
        ("blog", "refused"),
    ]


def test_each_application_is_planned_rehearsed_checked_upgraded_and_downgraded_by_its_own_release(
    host: Host, two: dict[str, Any]
) -> None:
    newer(host, "one", "app", "app_3", "0002")
    newer(host, "two", "blog", "blog_4", "blog_3")
    checks = [{"sql": f"select count(*) from {table}", "expect": 0, "database": name} for name, table in TABLES.items()]

    plan = call("plan_info", **two)
    foreseen = call("upgrade", check=True, run="r2", **two)
    would = call("rehearse", check=True, run="r2r", **two)
    rehearsed = ended("rehearse", run="r2r", **two)
    upgraded = ended("upgrade", run="r2", **two)
    healthy = call("health", checks=checks, retries=0, **two)
    downgraded = ended("downgrade", run="r2", rejected="a health check failed", **two)

    assert [[step["revision"] for step in each["pending"]] for each in plan["databases"]] == [["app_3"], ["blog_4"]]
    assert (plan["shipped"], plan["release"]) == (True, "")
    ends = [("app", "upgraded", ["0002"], ["app_3"]), ("blog", "upgraded", ["blog_3"], ["blog_4"])]
    assert places(foreseen) == places(upgraded) == ends
    assert [(each["name"], each["outcome"]) for each in would["databases"]] == [(n, "rehearsed") for n in TABLES]
    assert [each["outcome"] for each in rehearsed["databases"]] == ["rehearsed"] * 2
    assert [each["passed"] for each in healthy["results"]] == [True, True]
    assert [(each["outcome"], each["after"]) for each in downgraded["databases"]] == [
        ("downgraded", ["0002"]),
        ("downgraded", ["blog_3"]),
    ]


def test_a_downgrade_takes_the_release_of_its_run_though_another_was_shipped_since(
    host: Host, two: dict[str, Any]
) -> None:
    newer(host, "one", "app", "app_3", "0002")
    ended("upgrade", run="r2", **two)
    host.ship("generic", "three")
    note_current(str(host.root), "three", ["app"])

    (back,) = ended("downgrade", run="r2", rejected="a health check failed", **two)["databases"]

    assert (back["name"], back["outcome"], back["after"]) == ("app", "downgraded", ["0002"])


def test_a_canary_of_one_application_goes_before_no_other(two: dict[str, Any]) -> None:
    answer = call("upgrade", run="r2", canary="blog", **two)

    assert answer["failed"]
    assert "[canary-of-another-application]" in answer["msg"]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("verb", ["upgrade", "backup", "rehearse", "downgrade"])
def test_a_database_whose_application_is_not_known_is_refused_until_it_is_shipped(
    host: Host, file: Path, verb: str
) -> None:
    script(file.with_name("new.db"), "create table mine (a)")
    new: dict[str, Any] = {
        "root": str(host.root),
        "databases": [{"name": "new", "url": f"sqlite:///{file.with_name('new.db')}"}],
    }

    answer = call(verb, run="r2", follow=60, **new)
    (status,) = call("status_info", **new)["databases"]
    plan = call("plan_info", **new)

    assert answer["failed"]
    assert_names(answer["msg"], "[release-unknown]", "'new'")
    assert "ship.yml" in answer["msg"]
    assert status["current"] is None
    assert_error(status["problems"][0], "release-unknown", "'new'")
    assert (plan["shipped"], plan["databases"]) == (False, [])
    assert tables(file.with_name("new.db")) == {"mine"}
    note_current(str(host.root), "one", ["new"])
    assert call("upgrade", run="r3", follow=60, **new)["databases"][0]["after"] == ["0002"]


def test_what_could_not_be_read_is_unknown_and_not_base(host: Host, file: Path, given: dict[str, Any]) -> None:
    host.ship("generic")
    file.write_text("this is not a database, and longer than its header")

    (plan,) = call("plan_info", **given)["databases"]
    (state,) = call("status_info", **given)["databases"]

    assert (plan["current"], plan["heads"], state["current"]) == (None, None, None)
    assert plan["obstacles"]


@pytest.mark.parametrize("password", ["parsed@server", "p@rsed:w0rd"])
def test_a_password_that_breaks_its_url_is_explained_and_not_shown(host: Host, password: str) -> None:
    host.ship("generic")
    entry = {"name": "app", "url": f"postgresql://shop:{password}@127.0.0.1/shop"}

    answer = call("plan_info", root=str(host.root), databases=[entry])

    (obstacle,) = answer["databases"][0]["obstacles"]
    assert_error(obstacle, "url-invalid", "'app'", "`password`")
    assert "@ is %40" in obstacle["remedy"]
    assert password not in json.dumps(answer)
    assert "w0rd" not in json.dumps(answer)
