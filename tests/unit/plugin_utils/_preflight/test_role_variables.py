# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A wrong variable is one line, and no secret is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.role_variables import list_variable_problems


@pytest.fixture(autouse=True)
def _invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


def problems(**variables: Any) -> list[str]:
    return list(list_variable_problems(variables, lambda values: values))


def test_the_defaults_and_variables_of_others_are_right() -> None:
    assert problems(migrate_workers=2, migrate_on_refusal="skip", somebody_elses=[1]) == []


def test_only_those_with_a_prefix() -> None:
    wrong = {"migrate_workers": "many", "migrate_schedule_kind": "at"}
    (sentence,) = list_variable_problems(wrong, lambda values: values, "migrate_schedule_")
    assert "migrate_schedule_kind" in sentence
    assert len(problems(**wrong)) == 2


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"migrate_on_refusal": "halt"}, ("migrate_on_refusal", "skip, stop", "halt")),
        ({"migrate_workers": "many"}, ("migrate_workers", "int", "many")),
        ({"migrate_pgbouncer_password": {"secret": "hunter2"}, "migrate_workers": "two"}, ("migrate_workers",)),
    ],
)
def test_a_wrong_one_is_one_line(variables: dict[str, Any], words: tuple[str, ...]) -> None:
    found = problems(**variables)

    line = next(each for each in found if words[0] in each)
    assert all(word in line for word in words)
    assert not any("\n" in each or "hunter2" in each for each in found)


@pytest.mark.parametrize("name", ["migrate_backup_keep", "migrate_backup_keep_days", "migrate_keep_releases"])
def test_less_than_nothing_is_not_kept(name: str) -> None:
    (sentence,) = problems(**{name: -1})
    assert name in sentence
    assert problems(**{name: 0}) == []
