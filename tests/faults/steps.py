"""Workers that are ended at each step of what they do, by their journal: before a line, within it, and after it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.fault import ALL, POSTGRESQL, SERVERS, fault
from tests.faults.scene import Scene
from tests.faults.servers import dumping
from tests.integration.site import Running
from tests.integration.targets import PostgresTarget
from tests.lab.shell import run

#: What each step is called in the table, and the revision of an event that is journaled for each.
_UPGRADE = {
    "planned": "",
    "locked": "",
    "backed_up": "",
    "begun": "0003",
    "ran": "0003",
    "committed": "0003",
    "verified": "",
    "done": "",
}
_MOMENTS = {"before": "before its journal says", "in": "while its journal says", "after": "once its journal says"}


@contextmanager
def _stopped_at(scene: Scene, verb: str, event: str, revision: str, moment: str) -> Iterator[Running]:
    """Run the migration up to a moment around one line of its journal."""
    if shutil.which("cc") is None:
        pytest.skip("stopping at a line of a journal takes a C compiler")
    library = scene.folder / "stop.so"
    run(["cc", "-shared", "-fPIC", "-O1", "-o", library, Path(__file__).with_name("stop.c")])
    line = f'"verb": "{verb}", "event": "{event}"'
    prefix = "HOSTING_ALEMBIC_TEST_"
    scene.environment = {
        "LD_PRELOAD": str(library),
        f"{prefix}EVENT": f'{line}, "revision": "{revision}"' if revision else line,
        f"{prefix}MOMENT": moment,
        f"{prefix}REACHED": str(scene.reached),
        f"{prefix}GATE": str(scene.gate),
    }
    with scene.started(f"{event} of {verb}") as running:
        yield running
    scene.environment = {}


def _ends(event: str, moment: str) -> str:
    """What was verified stays; a line that is cut short says nothing."""
    return "new" if event == "done" or (event, moment) == ("verified", "after") else "old"


def _ended_at(number: signal.Signals, event: str, moment: str) -> None:
    @fault(f"{number.name} of the whole worker {_MOMENTS[moment]} {event}", ends=_ends(event, moment))
    def inject(scene: Scene) -> Iterator[None]:
        scene.each_in_its_own_transaction()
        with _stopped_at(scene, "upgrade", event, _UPGRADE[event], moment) as running:
            scene.kill(number, all_processes=True)
            scene.end(running)
        yield


for _event in _UPGRADE:
    for _moment in _MOMENTS:
        for _number in (signal.SIGKILL, signal.SIGTERM):
            _ended_at(_number, _event, _moment)


@fault("SIGKILL of the whole worker in mid-backup", ends="old", engines=SERVERS)
def killed_in_backup(scene: Scene) -> Iterator[None]:
    with dumping(scene) as running:
        scene.kill(signal.SIGKILL, all_processes=True)
        scene.end(running)
    yield


Prepare = Callable[[Scene], None]


def _fails(scene: Scene) -> None:
    """Two revisions are committed and have to be undone."""
    scene.each_in_its_own_transaction()
    scene.source.add("0004", "0003", scene.raise_here())


def _leaves(scene: Scene) -> None:
    """Only a restore takes away what the revision left."""
    scene.release(f"{scene.leave()}\n{scene.raise_here()}")


def _leaves_in_a_database_of_its_own(scene: Scene) -> None:
    assert isinstance(scene.target, PostgresTarget)
    scene.target.database.server.execute(f'ALTER ROLE "{scene.target.name}" CREATEDB')
    _leaves(scene)


def _revert_ended_at(
    words: str, prepare: Prepare, event: str, revision: str, moment: str, engines: tuple[str, ...] = ALL
) -> None:
    what = f"SIGKILL of the whole worker in mid-{words}, {_MOMENTS[moment]} {event}"

    # No process is left to revert it, but where it had finished already.
    @fault(what, ends="cut", engines=engines)
    def inject(scene: Scene) -> Iterator[None]:
        prepare(scene)
        with _stopped_at(scene, "downgrade", event, revision, moment) as running:
            scene.kill(signal.SIGKILL, all_processes=True)
            scene.end(running)
        scene.release()
        yield


for _moment in ("before", "after"):
    _revert_ended_at("downgrade", _fails, "downgrade_begun", "0002", _moment)
    _revert_ended_at("downgrade", _fails, "downgrade_ran", "0002", _moment)
    _revert_ended_at("downgrade", _fails, "downgraded", "", _moment)
for _event, _moment in (("restore_begun", "after"), ("restored", "before"), ("restored", "after")):
    _revert_ended_at("restore", _leaves, _event, "", _moment)
    _revert_ended_at("restore (swap)", _leaves_in_a_database_of_its_own, _event, "", _moment, engines=POSTGRESQL)
