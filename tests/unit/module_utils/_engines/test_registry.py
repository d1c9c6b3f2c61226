"""Which engines are loaded: an archive's code is compiled each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.stage import PROJECT

UTILS = "ansible_collections.hosting.alembic.plugins.module_utils"


@pytest.mark.parametrize(("url", "loaded"), [("sqlite:///a.db", "sqlite"), ("postgres://u@h/d", "postgresql")])
def test_only_the_engines_of_the_databases_are_loaded(url: str, loaded: str) -> None:
    script = f"""
import sys
from {UTILS}._verbs import entry, upgrade
from {UTILS}._engines.registry import load_engines
from {UTILS}._core.job import Database
load_engines([Database.from_options({{"name": "a", "url": {url!r}}})])
print([kind for kind in ("sqlite", "postgresql") if f"{UTILS}._engines.{{kind}}.engine" in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT / "collections", check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str([loaded])
