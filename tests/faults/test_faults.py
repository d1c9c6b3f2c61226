"""Every fault: what it leaves is old, new or held, exactly; and one more run ends at head like a clean upgrade."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import disks, dumps, locks, processes, revisions, servers
from tests.faults.fault import FAULTS, Fault
from tests.faults.scene import Scene
from tests.integration.site import Site
from tests.integration.targets import Target

PARTS = (processes, servers, disks, dumps, locks, revisions)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    engine: str = request.param
    found: Target = request.getfixturevalue("postgres" if engine == "postgresql" else "sqlite")
    return found


def _cases() -> list[object]:
    return [
        pytest.param(fault, engine, id=f"{fault.part}-{re.sub('[^a-zA-Z0-9]+', '_', fault.words)}-{engine}")
        for fault in FAULTS
        for engine in fault.engines
    ]


@pytest.mark.parametrize(("fault", "target"), _cases(), indirect=["target"])
def test_fault(fault: Fault, target: Target, site: Site, tmp_path: Path) -> None:
    with noted(fault, target) as note:
        scene = Scene(site, target, tmp_path)
        with contextmanager(fault.inject)(scene):
            ended = ""
        if "cut" not in fault.ends:
            ended = scene.state()
            assert ended in fault.ends
        if ended == "held":
            scene.assert_nothing_is_lost()
        begun = time.monotonic()
        scene.recover()
        note.update(ended=ended or "cut short", seconds=round(time.monotonic() - begun, 1))
        assert scene.state() == "new"
        note["passed"] = True


@contextmanager
def noted(fault: Fault, target: Target) -> Iterator[dict[str, object]]:
    """Write down for the table what became of a fault, also when the test fails or is skipped."""
    note: dict[str, object] = {"part": fault.part, "words": fault.words, "engine": target.engine, "passed": False}
    note["order"] = FAULTS.index(fault)
    try:
        yield note
    except pytest.skip.Exception as skipped:
        note["skipped"] = str(skipped)
        raise
    finally:
        if folder := os.environ.get("HOSTING_ALEMBIC_FAULTS"):
            path = Path(folder) / f"{FAULTS.index(fault):03}-{target.engine}.json"
            path.write_text(json.dumps(note))
