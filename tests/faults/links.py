"""The link of a host itself, over which its controller reaches it; its database lies on the host."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from tests.faults.fault import fault
from tests.faults.scene import Scene
from tests.lab.link import Link
from tests.lab.postgres import BIN
from tests.lab.waiting import wait_until


def _reached_over_a_link(scene: Scene) -> Link:
    """Have every run of a scene reach the host over SSH and a link that can be taken down."""
    if os.getuid() or not all(map(shutil.which, ("ip", "podman"))):
        pytest.skip("a link of its own takes root, ip and podman")
    link = scene.kept.enter_context(Link(scene.folder / "link"))
    scene.site.connection = link.variables
    if BIN in os.environ:  # a session over SSH has a PATH of its own
        scene.settings["migrate_pg_bin"] = os.environ[BIN]
    return link


@fault("the host's link goes down in mid-upgrade and stays down until the run has ended", ends="new")
def down(scene: Scene) -> Iterator[None]:
    link = _reached_over_a_link(scene)
    scene.settings["migrate_reconnect_timeout"] = 2
    with scene.stopped_in("in") as running:
        link.down()
        scene.gate.touch()
        scene.end(running)
    assert "1 lost: here" in running.output, running.output
    # What the controller cannot see may finish all the same.
    assert scene.state() == "new"
    link.up()
    yield


@fault("the host's link goes down in mid-upgrade, and the next run finds it at work", ends="new")
def at_work(scene: Scene) -> Iterator[None]:
    link = _reached_over_a_link(scene)
    scene.settings["migrate_reconnect_timeout"] = 2
    with scene.stopped_in("in") as running:
        link.down()
        scene.end(running)
        assert "1 lost: here" in running.output, running.output
        link.up()
        with scene.site.start("migrate", **scene.settings) as following:
            following.wait_for("still works", seconds=240)
            scene.gate.touch()
            following.end(seconds=240)
    yield


@fault("the host's link is down for 10 s in mid-upgrade", ends="new")
def for_a_while(scene: Scene) -> Iterator[None]:
    link = _reached_over_a_link(scene)
    with scene.stopped_in("in") as running:
        link.down()
        scene.gate.touch()
        until = time.monotonic() + 10
        wait_until(lambda: running.ended or time.monotonic() > until, "time stands still")
        assert not running.ended, running.output
        link.up()
        running.end(seconds=240)
    yield


@fault("the host's link goes down in mid-upgrade, and its worker is killed before it is back", ends="cut")
def and_killed(scene: Scene) -> Iterator[None]:
    link = _reached_over_a_link(scene)
    scene.settings["migrate_reconnect_timeout"] = 2
    with scene.stopped_in("in") as running:
        link.down()
        scene.kill(signal.SIGKILL, all_processes=True)
        scene.end(running)
    assert "1 lost: here" in running.output, running.output
    link.up()
    yield
