"""Clocks that jump, between runs and in them: what was written down before lies in the future, or a day back."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.digest import digest
from tests.faults.fault import fault
from tests.faults.scene import Scene
from tests.lab.shell import run

_DAY = timedelta(days=1)


def _later(path: Path, key: str) -> None:
    """Let a file be as it is after a run while the clock was a day ahead."""
    lines = []
    for line in path.read_text().splitlines():
        facts = json.loads(line)
        facts[key] = (datetime.fromisoformat(facts[key]) + _DAY).isoformat(timespec="milliseconds")
        lines.append(json.dumps(facts))
    path.write_text("\n".join(lines) + "\n")
    at = path.stat().st_mtime + _DAY.total_seconds()
    os.utime(path, (at, at))


def _a_day_ahead(scene: Scene) -> None:
    """Lead the database to 0002 by a run whose clock was a day ahead, and has been put right since."""
    scene.play("migrate", migrate_target="0002").ended(0)
    scene.old, scene.at = digest(scene.target), "0002"
    for path in (scene.site.root / "journals").rglob("*.jsonl"):
        _later(path, "at")
    for folder in scene.site.backups(scene.target.name):
        manifest = folder / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text())))
        _later(manifest, "taken")


@fault("the clock was a day ahead in the run before, and now everything is killed in mid-upgrade", ends="cut")
def killed(scene: Scene) -> Iterator[None]:
    _a_day_ahead(scene)
    with scene.stopped_in("in") as running:
        running.kill()
        scene.kill(signal.SIGKILL, all_processes=True)
    yield


@fault("the clock was a day ahead in the run before, and now a revision that left something behind fails", ends="old")
def failed(scene: Scene) -> Iterator[None]:
    _a_day_ahead(scene)
    scene.release(f"{scene.leave()}\n{scene.raise_here()}")
    scene.fails(migrate_backup_keep=1)
    scene.release()
    yield


@contextmanager
def _clock(scene: Scene) -> Iterator[Callable[[int], None]]:
    """Have a run and all that it starts read a clock that can be set, but for how long something took."""
    if shutil.which("cc") is None:
        pytest.skip("a clock that jumps takes a C compiler")
    library, place = scene.folder / "clock.so", scene.folder / "clock"
    run(["cc", "-shared", "-fPIC", "-O1", "-o", library, Path(__file__).with_name("clock.c")])

    def set_to(days: int) -> None:
        beside = place.with_suffix(".next")
        beside.write_text(f"{days * _DAY.total_seconds():.0f}")
        beside.replace(place)

    set_to(0)
    scene.environment = {"LD_PRELOAD": str(library), "HOSTING_ALEMBIC_TEST_CLOCK": str(place)}
    yield set_to
    scene.environment = {}


def _since_backup(scene: Scene) -> timedelta:
    """How long the run took after its backup, as its journal has it: so it is seen that its worker read this clock."""
    (path,) = (scene.site.root / "journals").rglob("*.jsonl")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    times = {event["event"]: datetime.fromisoformat(event["at"]) for event in events}
    return times["done"] - times["backed_up"]


@fault("the clock jumps a day ahead in mid-upgrade", ends="new")
def jumps_ahead(scene: Scene) -> Iterator[None]:
    with _clock(scene) as set_to, scene.stopped_in("in") as running:
        set_to(1)
        scene.gate.touch()
        scene.end(running)
    assert _since_backup(scene) > _DAY
    yield


@fault("the clock is put back by a day in mid-upgrade, and then everything is killed", ends="cut")
def jumps_back_and_killed(scene: Scene) -> Iterator[None]:
    scene.each_in_its_own_transaction()
    with _clock(scene) as set_to, scene.stopped_in("in") as running:
        set_to(-1)
        running.kill()
        scene.kill(signal.SIGKILL, all_processes=True)
    yield


@fault("the clock is put back by a day in mid-upgrade, and then a revision that left something fails", ends="old")
def jumps_back_and_fails(scene: Scene) -> Iterator[None]:
    scene.release(
        f"{scene.leave()}\n{scene.stop_here()}\nif 'CLEAN' not in os.environ:\n    raise RuntimeError('fails')"
    )
    with _clock(scene) as set_to, scene.started() as running:
        set_to(-1)
        scene.gate.touch()
        scene.end(running)
    # A journal stays in its order: what is written next is a millisecond after what was written last.
    assert timedelta(0) < _since_backup(scene) < timedelta(seconds=1)
    scene.release()
    yield
