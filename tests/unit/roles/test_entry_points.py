# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is inherited from the play around the role must not keep a failure from being reverted."""

from __future__ import annotations

import pytest
import yaml

from tests.unit.stage import PROJECT

ROLE = PROJECT / "roles" / "migrate"
ENTRIES = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]


@pytest.mark.parametrize("path", [f"tasks/{entry}.yml" for entry in ENTRIES] + ["handlers/main.yml"])
def test_no_failure_in_an_entry_point_is_ignored(path: str) -> None:
    for task in yaml.safe_load((ROLE / path).read_text(encoding="utf-8")):
        assert task["ignore_errors"] is False, task["name"]
