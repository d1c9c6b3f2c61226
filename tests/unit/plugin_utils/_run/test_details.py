# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of each database is kept where a person finds it, and never at the cost of the report."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._run import details
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.details import keep_details


def test_a_file_of_a_run_is_its_owners_and_says_all(tmp_path: Path) -> None:
    path = Path(keep_details(str(tmp_path / "runs"), "r1", "status-web/1", {"databases": [{"name": "shop"}]}))

    assert json.loads(path.read_text()) == {"format": 1, "databases": [{"name": "shop"}]}
    assert path.parent == tmp_path / "runs" / "r1"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nothing_is_kept_without_a_folder_and_a_folder_that_cannot_be_made_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert keep_details("", "r1", "status", {}) == ""
    assert keep_details(str(tmp_path / "file"), "r1", "status", {}) == ""


def test_the_folders_of_the_last_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "KEPT", 2)
    (tmp_path / "r0.json").write_text("a manifest")
    for run in ("r1", "r2", "r3"):
        keep_details(str(tmp_path), run, "status", {})

    assert sorted(path.name for path in tmp_path.iterdir()) == ["r0.json", "r2", "r3"]


def test_folders_of_others_beside_them_are_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "KEPT", 1)
    for name in ("group_vars", "r1"):  # one of them has the name of a run
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.json").write_text("mine")
    for run in ("r1", "r2", "r3"):
        keep_details(str(tmp_path), run, "status", {})

    assert sorted(path.name for path in tmp_path.iterdir()) == ["group_vars", "r1", "r3"]
    assert [(tmp_path / name / "all.json").read_text() for name in ("group_vars", "r1")] == ["mine", "mine"]
