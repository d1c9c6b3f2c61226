from __future__ import annotations

from pathlib import Path

from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import read_last_run_state
from tests.codes import assert_error
from tests.unit.stage import Answer, Host, database, heads


def status(host: Host, file: Path) -> Answer:
    (found,) = host.do("status", database(file))["databases"]
    return dict(found)


def test_before_anything_was_done_there_is_nothing_to_report(host: Host, file: Path) -> None:
    host.ship("generic")

    found = status(host, file)

    assert (found["server"], found["current"], len(found["pending"])) == ("not there yet", [], 2)
    assert (found["last_run"], found["last_change"], found["last_backup"]) == (None, None, None)
    assert not file.exists()


def test_it_distinguishes_the_last_run_from_the_last_change(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file), run="first")
    host.result("upgrade", database(file), run="second")

    found = status(host, file)

    assert (found["current"], found["pending"]) == (["0002"], [])
    assert (found["last_run"]["run"], found["last_run"]["outcome"]) == ("second", "unchanged")
    assert (found["last_change"]["run"], found["last_change"]["net_outcome"]) == ("first", "upgraded")
    assert found["last_backup"]["run"] == "first"


def test_a_run_that_failed_and_was_reverted_is_not_a_change(host: Host, file: Path) -> None:
    host.ship("broken")
    host.result("upgrade", database(file))
    host.result("downgrade", database(file))

    found = status(host, file)

    assert found["last_run"]["outcome"] == "failed"
    assert found["last_change"] is None


def test_what_stops_an_upgrade_is_a_problem(host: Host, file: Path) -> None:
    host.ship("multi_heads")

    assert_error(status(host, file)["problems"][0], "several-heads")


def test_what_is_held_or_failed_stays_so_whatever_is_refused_since(host: Host, file: Path) -> None:
    host.ship("broken")
    host.result("upgrade", database(file), run="first")
    host.result("downgrade", database(file), run="first", on_failure="hold")
    assert host.result("upgrade", database(file), run="second")["outcome"] == "refused"

    found = status(host, file)

    assert (found["last_run"]["run"], found["last_run"]["outcome"]) == ("first", "held")
    assert heads(file) == found["current"]


def test_a_failed_database_may_be_rehearsed_and_tried_by_another_release(host: Host, file: Path) -> None:
    host.ship("broken")
    host.result("upgrade", database(file), run="first")
    host.result("downgrade", database(file), run="first")
    assert host.result("upgrade", database(file), run="second")["outcome"] == "refused"

    assert host.result("rehearse", database(file), run="third")["outcome"] == "failed"

    host.ship("broken", "mended")
    for path in (host.layout.release("mended") / "source" / "migrations" / "versions").glob("000[34]*.py"):
        path.unlink()
    assert host.result("upgrade", database(file), run="fourth")["outcome"] == "upgraded"
    assert heads(file) == ["0002"]


def test_a_restore_stays_one_after_a_prune_and_a_recovery(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file), run="first")
    host.result("backup", database(file), run="second")
    host.result("restore", database(file), run="third", of_run="second")
    host.do("prune", database(file), prune=True, prune_days=0)

    assert host.result("recover", database(file), run="fourth")["outcome"] == "unchanged"

    endings = [event["result"]["outcome"] for event in host.events("third") if event["event"] == "done"]
    assert endings == ["restored"]
    assert read_last_run_state(host.layout, "app").state == ""
    assert heads(file) == ["0002"]
