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
from {UTILS}._engines.loaded import load_engines
from {UTILS}._core.job import Database
load_engines([Database.from_options({{"name": "a", "url": {url!r}}})])
print([kind for kind in ("sqlite", "postgresql") if f"{UTILS}._engines.{{kind}}.engine" in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT / "collections", check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str([loaded])


@pytest.mark.parametrize("url", ["sqlite:////tmp/a.db", "postgresql://u@h/d"])
def test_what_works_on_a_database_needs_no_file_once_its_engine_is_loaded(url: str) -> None:
    """Else a worker that outlives its module, or is another user by then, could not go on."""
    script = f"""
import sys
from {UTILS}._core.job import Database, Job
from {UTILS}._engines.loaded import load_engines
from {UTILS}._engines.registry import build_engine
from {UTILS}._engines.parts import find_rehearser
from {UTILS}._engines.parts import find_restorer
from {UTILS}._engines.parts import find_write_tracker
entry = Database.from_options({{"name": "a", "url": {url!r}}})
load_engines([entry])
loaded = set(sys.modules)
engine = build_engine(entry, Job.from_options("upgrade", {{"root": "/", "release": "r", "databases": [], "run": "r1"}}))
find_restorer(engine), find_write_tracker(engine), find_rehearser(engine)
print(sorted(name for name in set(sys.modules) - loaded if name.startswith("{UTILS}")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT / "collections", check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
