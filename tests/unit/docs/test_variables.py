# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/reference/variables.md shows each variable of the role, with an example that the role accepts."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.lab import PROJECT

SPECS: dict[str, Any] = yaml.safe_load((PROJECT / "roles/migrate/meta/argument_specs.yml").read_text())[
    "argument_specs"
]
OPTIONS: dict[str, Any] = SPECS["main"]["options"]
EXAMPLES: dict[str, dict[str, Any]] = {
    group["title"]: yaml.safe_load(group["example"])
    for group in yaml.safe_load((PROJECT / "docs/variables.yml").read_text())
}


def test_the_page_is_generated_from_the_role() -> None:
    requested = [sys.executable, str(PROJECT / "docs" / "variables.py"), "--check"]
    done = subprocess.run(requested, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_variable_is_in_one_group() -> None:
    shown = Counter(name for example in EXAMPLES.values() for name in example)
    assert set(shown) == set(OPTIONS)
    assert [name for name, count in shown.items() if count > 1] == []


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_is_valid(title: str) -> None:
    spec = {name: OPTIONS[name] for name in EXAMPLES[title]}
    assert ArgumentSpecValidator(spec).validate(EXAMPLES[title]).error_messages == []


@pytest.mark.parametrize("name", sorted(name for name, option in OPTIONS.items() if "options" in option))
def test_the_examples_of_entries_use_every_key(name: str) -> None:
    entries = next(example[name] for example in EXAMPLES.values() if name in example)
    assert set(OPTIONS[name]["options"]) == {key for entry in entries for key in entry}
