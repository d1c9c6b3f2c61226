from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import check_run_id
from ansible_collections.hosting.alembic.plugins.module_utils._core.processes import run_in_processes
from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation


@pytest.fixture(autouse=True)
def local_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One ansible-playbook has one such folder."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return tmp_path


def test_one_fork_at_a_time(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")

    def add(_item: int) -> None:
        with invocation.hold_lock("counting"):
            number = int(count.read_text())
            time.sleep(0.02)
            count.write_text(str(number + 1))

    run_in_processes(range(8), 8, add, 0, lambda *_: None)

    assert count.read_text() == "8"


def test_all_hosts_get_the_same_id() -> None:
    ids: list[str] = []
    run_in_processes(
        range(8), 8, lambda number: invocation.run_id("", f"web{number}"), 0, lambda _item, answer: ids.append(answer)
    )

    assert len(ids) == 8
    assert set(ids) == {invocation.run_id("", "web9")}
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", ids[0])
    assert check_run_id(ids[0]) == ids[0]


def test_the_id_that_is_wanted_is_used() -> None:
    assert invocation.run_id("tonight", "web1") == "tonight"


@pytest.mark.parametrize("wanted", ["", "tonight"])
def test_a_role_that_is_applied_again_is_another_run_on_every_host(wanted: str) -> None:
    first = [invocation.run_id(wanted, host) for host in ("web1", "web2")]
    second = [invocation.run_id(wanted, host) for host in ("web2", "web1")]

    assert len(set(first)) == len(set(second)) == 1
    assert second[0] == f"{first[0]}-2"


def test_the_next_playbook_gets_another_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = invocation.run_id("", "web1")
    (tmp_path / "next").mkdir()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "next"))

    assert invocation.run_id("", "web1") != first


def test_hosts_share_facts_whatever_they_are_called() -> None:
    assert invocation.read_shared("plans", "web1") is None
    for host in ("web1", "web1/../web2", "[::1]", "wéb", ".hidden"):
        invocation.share_facts("plans", host, {"name": host})

    for host in ("web1", "web1/../web2", "[::1]", "wéb", ".hidden"):
        assert invocation.read_shared("plans", host) == {"name": host}
    assert invocation.read_shared("upgraded", "web1") is None
    invocation.share_facts("plans", "web1", {"name": "again"})
    assert invocation.read_shared("plans", "web1") == {"name": "again"}
