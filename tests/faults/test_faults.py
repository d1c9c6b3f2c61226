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

from tests.faults.daily import DAILY, is_daily
from tests.faults.fault import Fault
from tests.faults.scene import Scene
from tests.faults.suite import FAULTS
from tests.integration.site import Site
from tests.integration.targets import Target


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    engine: str = request.param
    found: Target = request.getfixturevalue("postgres" if engine == "postgresql" else engine)
    return found


def _slug(fault: Fault) -> str:
    return f"{fault.part}-{re.sub('[^a-zA-Z0-9]+', '_', fault.words)}-{fault.engine}"


def _cases() -> list[object]:
    return [
        pytest.param(fault, fault.engine, id=_slug(fault), marks=[pytest.mark.daily] if is_daily(fault) else [])
        for fault in FAULTS
    ]


@pytest.mark.daily
def test_every_daily_fault_is_one_of_the_suite() -> None:
    assert not set(DAILY) - {fault.words for fault in FAULTS}
    assert {fault.part for fault in FAULTS if is_daily(fault)} == {fault.part for fault in FAULTS}


@pytest.mark.parametrize(("fault", "target"), _cases(), indirect=["target"])
def test_fault(fault: Fault, target: Target, site: Site, tmp_path: Path) -> None:
    with noted(fault) as note, Scene(site, target, tmp_path).kept_until_the_end() as scene:
        with contextmanager(fault.inject)(scene):
            pass  # it has come about, and is taken away
        ended = scene.ended or scene.state()
        if ended not in fault.ends and "cut" in fault.ends:
            ended = "cut short"
        else:
            assert ended in fault.ends
        if ended == "held" and not scene.ended:
            scene.assert_nothing_is_lost()
        begun = time.monotonic()
        scene.recover()
        note.update(ended=ended, seconds=round(time.monotonic() - begun, 1))
        assert scene.state() == "new"
        note["passed"] = True


@contextmanager
def noted(fault: Fault) -> Iterator[dict[str, object]]:
    """Write down for the table what became of a fault, also when the test fails or is skipped."""
    note: dict[str, object] = {"part": fault.part, "words": fault.words, "engine": fault.engine, "passed": False}
    try:
        yield note
    except pytest.skip.Exception as skipped:
        note["skipped"] = str(skipped)
        raise
    finally:
        if folder := os.environ.get("HOSTING_ALEMBIC_FAULTS"):
            path = Path(folder) / f"{_slug(fault)}.json"
            path.write_text(json.dumps(note))
