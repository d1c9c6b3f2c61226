"""Processes that are ended in the middle of their work."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from tests.faults.fault import ALL, MARIADB, POSTGRESQL, fault
from tests.faults.scene import FILL_PART, PART, Scene
from tests.lab.waiting import wait_until

_PLACES = {"before": "before a step's first statement", "in": "in the middle of a step", "after": "before its commit"}


def _worker_ends(number: signal.Signals, all_processes: bool, place: str) -> None:
    who = "the whole worker" if all_processes else "the process that works on the database"

    # A process that got the signal to end may be anywhere else by then.
    @fault(f"{number.name} of {who} {_PLACES[place]}", ends="old" if number == signal.SIGKILL else "old held")
    def inject(scene: Scene) -> Iterator[None]:
        with scene.stopped_in(place) as running:
            scene.kill(number, all_processes)
            scene.end(running)
        yield


for _place in _PLACES:
    _worker_ends(signal.SIGKILL, all_processes=True, place=_place)
    _worker_ends(signal.SIGTERM, all_processes=True, place=_place)
_worker_ends(signal.SIGKILL, all_processes=False, place="in")
_worker_ends(signal.SIGTERM, all_processes=False, place="after")


def _killed_after(words: str, ends: str | dict[str, str], *lines: str, engines: tuple[str, ...] = ALL) -> None:
    """A revision that has committed something before its end is killed."""

    @fault(f"SIGKILL of the whole worker after {words}", ends=ends, engines=engines)
    def inject(scene: Scene) -> Iterator[None]:
        scene.release("\n".join([*lines, scene.stop_here()]))
        with scene.started() as running:
            scene.kill(signal.SIGKILL, all_processes=True)
            scene.end(running)
        scene.release()
        yield


_CHANGE = "op.execute(\"UPDATE item SET name = 'changed'\")"
_AUTOCOMMIT = "with op.get_context().autocommit_block():"
# SQLite counts no rows, so none can be distinguished from others' once the process is gone; those of a block are not
# counted.
_HELD = {"postgresql": "held", "sqlite": "held", "mariadb": "held"}
_OLD_IF_COUNTED = {"postgresql": "old", "sqlite": "held", "mariadb": "old held"}
_killed_after("an autocommit block made its changes permanent", _OLD_IF_COUNTED, _CHANGE, _AUTOCOMMIT, "    pass")
_killed_after("it changed rows in an autocommit block", _HELD, _AUTOCOMMIT, f"    {_CHANGE}")
_killed_after("it changed rows and committed by itself", _OLD_IF_COUNTED, _CHANGE, "op.get_bind().commit()")
_killed_after("it changed rows and executed COMMIT", "old", _CHANGE, "op.execute('COMMIT')", engines=POSTGRESQL)


@fault("SIGKILL of ansible-playbook in mid-upgrade", ends="new")
def controller(scene: Scene) -> Iterator[None]:
    with scene.stopped_in("in") as running:
        running.kill()
    yield


@fault("SIGKILL of ansible-playbook and of the worker in mid-upgrade", ends="cut")
def everything(scene: Scene) -> Iterator[None]:
    with scene.stopped_in("in") as running:
        running.kill()
        scene.kill(signal.SIGKILL, all_processes=True)
    yield


def _outlived(engines: tuple[str, ...], statement: str) -> None:
    @fault("a backend that works on after its worker was killed", ends="cut", engines=engines)
    def inject(scene: Scene) -> Iterator[None]:
        reached = f"open({str(scene.reached)!r}, 'w').close()"
        scene.release(f"{PART}\n{FILL_PART}\n{reached}\nop.execute('{statement}')")
        with scene.site.start("migrate", **scene.settings) as running:
            wait_until(scene.reached.exists, "revision 0003 was not reached")
            running.kill()
            scene.kill(signal.SIGKILL, all_processes=True)
        scene.release()
        yield


_outlived(POSTGRESQL, "SELECT pg_sleep(4)")
# A statement that waits would notice that its client is gone.
_outlived(MARIADB, "SELECT BENCHMARK(10000000000, 1 + 1)")
