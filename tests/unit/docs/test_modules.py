# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of each module says since when it exists, what it supports, and what else to read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosting.alembic.plugins.doc_fragments.options import ModuleDocFragment
from tests.lab import PROJECT

MODULES = sorted((PROJECT / "plugins" / "modules").glob("*.py"))
NAMES = {path.stem for path in MODULES}
VERSION = yaml.safe_load((PROJECT / "galaxy.yml").read_text())["version"]


def _documentation(path: Path) -> dict[str, Any]:
    found = re.search(r'(?s)^DOCUMENTATION = r"""(.*?)"""', path.read_text(), re.MULTILINE)
    assert found
    text: dict[str, Any] = yaml.safe_load(found[1])
    return text


def _attributes(text: dict[str, Any]) -> set[str]:
    """Return the attributes of a module, those of its fragments included."""
    names = set(text.get("attributes", {}))
    fragments = text.get("extends_documentation_fragment", [])
    for fragment in [fragments] if isinstance(fragments, str) else fragments:
        part = yaml.safe_load(getattr(ModuleDocFragment, fragment.rsplit(".", 1)[1].upper()))
        names |= set(part.get("attributes", {}))
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_says_since_when_what_it_supports_and_what_else_to_read(path: Path) -> None:
    text = _documentation(path)
    assert text["version_added"] == VERSION, "there was no release before"
    assert {"check_mode", "diff_mode"} <= _attributes(text)
    others = {entry["module"].rsplit(".", 1)[1] for entry in text["seealso"]}
    assert others
    assert others <= NAMES - {path.stem}
