# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the verbs have answered is kept for those who judge the run, and never mistaken for that of another run."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.plugin_utils._run import results


@pytest.fixture(autouse=True)
def _invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


def test_the_answers_of_a_host_are_those_of_its_run() -> None:
    results.begin("web1", {"run": "r1"})
    results.keep("hosting.alembic.plan_info", "web1", {"ok": True, "ansible_facts": {}}, {})
    results.keep("hosting.alembic.health", "web1", {"ok": True}, {})

    assert results.of_host("web1") == {"packed": {"run": "r1"}, "plan": {"ok": True}}
    assert results.of_host("web2") == {}

    results.begin("web1", {"run": "r1-2"})
    assert results.of_host("web1") == {"packed": {"run": "r1-2"}}


def test_of_a_maintenance_only_its_end_counts() -> None:
    results.begin("web1", {"run": "r1"})
    results.keep("maintenance", "web1", {"done": ["stopped"]}, {"state": "begun"})
    assert "maintenance" not in results.of_host("web1")
    results.keep("maintenance", "web1", {"done": ["started"]}, {"state": "ended"})
    assert results.of_host("web1")["maintenance"] == {"done": ["started"]}
