# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""README.md is short, leads to what a person has who installed the tarball, and shows what the pages show."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.lab import PROJECT
from tests.unit.docs.test_commands import TRANSCRIPTS

README = PROJECT / "README.md"
LONGEST = 160
SHIPPED_PAGES = [
    README,
    *(PROJECT / name for name in ("SECURITY.md", "CODE_OF_CONDUCT.md", "roles/migrate/README.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
GALAXY = yaml.safe_load((PROJECT / "galaxy.yml").read_text())


def _shipped() -> set[str]:
    """Return the files that the tarball has, as `ansible-galaxy collection build` chooses them."""
    requested = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(requested, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.split("\0")
    ignored = GALAXY["build_ignore"]

    def is_ignored(name: str) -> bool:
        ways = [name, *(str(folder) for folder in Path(name).parents)]
        return any(fnmatch(way, pattern) for way in ways for pattern in ignored)

    return {name for name in found if name and not is_ignored(name)}


def _links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text())


def test_it_is_short_and_has_no_table_of_variables() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= LONGEST
    assert [line for line in lines if line.startswith("| `migrate_")] == []


@pytest.mark.parametrize("page", SHIPPED_PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_each_link_leads_to_a_file_of_the_tarball_or_to_another_site(page: Path) -> None:
    shipped = _shipped()
    folder = page.parent
    local = [link.partition("#")[0] for link in _links(page) if not link.startswith(("https://", "#"))]
    missing = [link for link in local if str((folder / link).resolve().relative_to(PROJECT)) not in shipped]
    assert missing == []


def test_it_names_every_playbook() -> None:
    text = README.read_text()
    playbooks = {path.stem for path in (PROJECT / "playbooks").glob("*.yml")}
    assert {name for name in playbooks if f"`{name}`" not in text} == set()


def test_each_playbook_has_a_page() -> None:
    playbooks = {path.stem for path in (PROJECT / "playbooks").glob("*.yml")}
    assert playbooks == {path.stem for path in (PROJECT / "docs" / "playbooks").glob("*.md")}


def test_it_shows_what_the_pages_show() -> None:
    assert README.read_text() == TRANSCRIPTS.render_readme(), "run python docs/transcripts.py"
