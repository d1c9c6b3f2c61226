"""Others who use the database while it is migrated."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

from tests.faults.fault import POSTGRESQL, fault
from tests.faults.scene import Scene
from tests.integration.targets import PostgresTarget


def _held(words: str, statement: str) -> None:
    @fault(words, ends="old", engines=POSTGRESQL)
    def inject(scene: Scene) -> Iterator[None]:
        assert isinstance(scene.target, PostgresTarget)
        with closing(scene.target.connect()) as other, closing(other.cursor()) as cursor:
            cursor.execute(statement)
            scene.fails(migrate_backup_lock_wait=2)
        yield


_held("an idle transaction that has read the table", "SELECT * FROM item")
_held("an idle transaction that has locked the table for itself", "LOCK TABLE item IN ACCESS EXCLUSIVE MODE")


@fault("a query that takes longer than the migration waits", ends="old", engines=POSTGRESQL)
def long_query(scene: Scene) -> Iterator[None]:
    assert isinstance(scene.target, PostgresTarget)
    with closing(scene.target.connect()) as other, closing(other.cursor()) as cursor:

        def query() -> None:
            try:
                cursor.execute("SELECT count(*), pg_sleep(60) FROM item LIMIT 1")
            except Exception:  # noqa: BLE001 - it is cancelled when the run has ended
                return

        thread = threading.Thread(target=query)
        thread.start()
        scene.fails()
        other.cancel()
        thread.join()
    yield


@fault("two controllers at once, through two hosts", ends="new")
def two_controllers(scene: Scene) -> Iterator[None]:
    with scene.stopped_in("in") as one:
        second = scene.site.start(
            "migrate", **{**scene.settings, "migrate_root": scene.folder / "other", "migrate_database_wait": 240}
        )
        with second as two:
            two.wait_for("waits for|is being migrated|locked", seconds=240)
            scene.gate.touch()
            one.end(seconds=300)
            two.end(seconds=300)
    yield
