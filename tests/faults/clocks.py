"""Clocks that jump between runs: what an earlier run wrote down lies in the future."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from tests.faults.digest import digest
from tests.faults.fault import fault
from tests.faults.scene import Scene

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
        scene.kill(signal.SIGKILL, everybody=True)
    yield


@fault("the clock was a day ahead in the run before, and now a revision that left something behind fails", ends="old")
def failed(scene: Scene) -> Iterator[None]:
    _a_day_ahead(scene)
    scene.release(f"with op.get_context().autocommit_block():\n    {_HALF}\n{scene.raise_here()}")
    scene.fails(migrate_backup_keep=1)
    scene.release()
    yield


_HALF = "op.execute('CREATE TABLE half (id int)')"
