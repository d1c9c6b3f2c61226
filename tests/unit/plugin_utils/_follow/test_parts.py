# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan in parts is one plan: nothing is planned twice, and nothing that one part refuses is lost in the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.parts import FIRST_PART, call_in_parts
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.progress import Progress


@pytest.fixture(autouse=True)
def _invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


class Host:
    """Answers for so many databases in each call."""

    def __init__(self, total: int, each: int) -> None:
        self.names = [f"t{number}" for number in range(total)]
        self.each = each
        self.calls: list[dict[str, Any]] = []

    def __call__(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(arguments)
        done = [entry["name"] for entry in arguments["done_before"]]
        left = [name for name in self.names if name not in done]
        part = [{"name": name, "identity": f"of {name}", "instance": "i"} for name in left[: self.each]]
        refusals = [f"{entry['name']}: refused" for entry in part[:1]]
        answer = {"databases": part, "pending": not done, "refusals": refusals, "total": len(self.names)}
        return {**answer, "finished": len(part) == len(left), "shipped": True}


def test_what_is_quick_is_one_call() -> None:
    host = Host(5, 10)

    answer = call_in_parts(host, {"root": "/r"}, Progress("plan", "web1"), "planned")

    assert host.calls == [{"root": "/r", "begin_for": FIRST_PART, "done_before": []}]
    assert [entry["name"] for entry in answer["databases"]] == host.names
    assert not {"finished", "total"} & set(answer)


def test_several_parts_are_one_answer() -> None:
    host = Host(100, 40)

    answer = call_in_parts(host, {}, Progress("plan", "web1"), "planned")

    assert [entry["name"] for entry in answer["databases"]] == host.names
    assert answer["pending"] is True
    assert answer["refusals"] == ["t0: refused", "t40: refused", "t80: refused"]
    assert host.calls[2]["done_before"][79] == {"name": "t79", "identity": "of t79", "instance": "i"}
    assert [call["begin_for"] for call in host.calls][1:] == [10.0, 10.0]
    assert answer["progress"][0] == "[40/100] t39 planned"


def test_a_part_that_fails_is_the_answer() -> None:
    failed = {"failed": True, "msg": "It was lost", "databases": []}
    answers = iter([{**Host(100, 40)({"done_before": []})}, failed])

    assert call_in_parts(lambda _arguments: next(answers), {}, Progress("plan", "web1"), "planned") == failed
