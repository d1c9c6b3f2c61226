"""The harness drives the verbs' own workers; that real playbooks end the same is shown by a few."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import newest_virtualenv, site
from tests.integration.site import Site
from tests.lab.postgres import PostgresServer
from tests.property import examples
from tests.property.examples import Example, Revision, Step
from tests.property.kinds import named
from tests.property.promise import kept
from tests.property.world import PostgresWorld, SQLiteWorld, World

__all__ = ["newest_virtualenv", "site"]

_ENDS = {"downgraded": "old", "restored": "old", "untouched": "old", "held": "held", "upgraded": "new"}


def _example(engine: str, kind: str, change: str, *, fails: bool, downgrade: str = "exact") -> Example:
    (found,) = (each for each in examples.KINDS[engine] if each.name == kind)
    (done,) = (each for each in found.all_changes() if each.words == change)
    step = Step(change, named(done.forward, "k1"))
    back = Step(change, named(done.backward, "k1"))
    later = Revision((Step("", ("CREATE TABLE later (a integer)",)),), (Step("", ("DROP TABLE later",)),))
    revisions = (
        Revision((step,), (back,), None, downgrade),
        Revision(later.forward, later.backward, 1 if fails else None),
    )
    return Example(engine, named(found.make, "k1"), revisions, per_migration=True, may_create=True)


_TRIED = (
    _example("sqlite", "column", "is dropped and made again", fails=True),
    _example("sqlite", "rows", "are changed", fails=False),
    _example("postgresql", "column's type", "is rounded and widened again", fails=True),
    _example("postgresql", "rows", "are added", fails=True),
)


@pytest.mark.parametrize(
    "example", _TRIED, ids=lambda example: f"{example.engine} {example.revisions[0].forward[0].words}"
)
def test_playbook_ends_as_the_harness(
    example: Example, site: Site, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    worlds = [_world(example, tmp_path / name, request) for name in ("harness", "playbook")]
    by_harness, by_playbook = worlds
    try:
        expected = kept(by_harness)
        source = site.source("generic")
        shutil.rmtree(source.folder)
        shutil.copytree(by_playbook.host.layout.release("property") / "source", source.folder)
        entry = {"name": "app", "url": by_playbook.url}
        fails = example.revisions[1].fails_before is not None
        site.run("migrate", code=2 if fails else 0, migrate_databases=[entry], migrate_source=source)
        assert _ended(site) == expected
        if expected != "held":
            assert by_playbook.entries() == by_harness.entries()
    finally:
        for world in worlds:
            world.close()


def _world(example: Example, folder: Path, request: pytest.FixtureRequest) -> World:
    folder.mkdir()
    if example.engine == "sqlite":
        return SQLiteWorld(folder, example)
    request.getfixturevalue("reader")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return PostgresWorld(server, request.getfixturevalue("owner"), folder, example)


def _ended(site: Site) -> str:
    results: list[dict[str, Any]] = [event["result"] for event in site.events("app") if event["event"] == "done"]
    return _ENDS[results[-1]["outcome"]]
