"""From a failed migration to a recovered database, by downgrade and by restore, at several sizes."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from .filled import CHANGED, FULL, Store, failing_project, folder_of_files, mariadb, server
from .host import Host, Result
from .measure import Comparison, Contender, Difference, RatioBeyond, take_turns

SIZES = {"10 MB": 10 << 20, "100 MB": 100 << 20}
LARGE = {"1 GB": 1 << 30}
#: Below this what is measured is the start of Python.
_JUDGED = 100 << 20


def recovery(folder: Path, turns: int, large: bool) -> list[Comparison]:
    """Measure on each engine."""
    comparisons: list[Comparison] = []
    folder.mkdir()
    host = Host.ship(folder, failing_project(folder / "project"))
    for store_of in (folder_of_files, server, mariadb):
        with store_of(folder) as store:
            for label, size in {**SIZES, **(LARGE if large else {})}.items():
                store.fill(host, size)
                comparisons += Recovery(host, store, label, size).measure(turns)
    return comparisons


class Recovery:
    """One engine's database of one size, and all contenders for it."""

    def __init__(self, host: Host, store: Store, label: str, size: int) -> None:
        self._host = host
        self._store = store
        self._label = label
        self._size = size
        self._name = self._url = ""
        self._failed: Result = {}

    def _copy(self, kind: str, turn: int) -> None:
        """Make a new database; what failed once is not tried again."""
        self._remove()
        self._name = f"{self._store.name}_{self._label}_{kind}_{turn}".lower().replace(" ", "")
        self._url = self._store.copy(self._name)

    def _remove(self) -> None:
        """Remove a database with its backups and with what is retained."""
        if self._name:
            self._store.remove(self._name)
            self._host.forget(self._name)

    def _fail(self, kind: str, turn: int) -> None:
        """Make a database and let its upgrade fail after a revision that was committed."""
        self._copy(kind, turn)
        self._failed = self._host.ended("failed", "upgrade", self._name, self._url)

    def _revert(self, outcome: str, on_failure: str) -> float:
        """Revert and return the seconds since the revision failed, with what the upgrade did after it."""
        begun = time.perf_counter()
        self._host.ended(outcome, "downgrade", self._name, self._url, on_failure=on_failure)
        seconds = time.perf_counter() - begun
        upgrade = [event for event in self._host.events(self._name) if event["verb"] == "upgrade"]
        # The revision fails as soon as it is begun.
        failed = max(event["at"] for event in upgrade if event["event"] == "begun")
        return seconds + (datetime.fromisoformat(upgrade[-1]["at"]) - datetime.fromisoformat(failed)).total_seconds()

    def _restore(self, _turn: int) -> None:
        backup = self._failed["backup"]
        self._store.restore(Path(backup["path"]) / backup["dump"], self._name)

    def _change(self, turn: int) -> None:
        self._copy("changed", turn)
        self._host.alembic("upgrade", CHANGED, self._url)

    def measure(self, turns: int) -> list[Comparison]:
        """Let each revert start from a failure of its own."""
        what = f"{self._store.name}, {self._label}"
        downgrade = Contender(
            f"downgrade of {what}",
            lambda _turn: self._revert("downgraded", "downgrade"),
            lambda turn: self._fail("downgrade", turn),
        )
        bare = Contender(
            "alembic downgrade", lambda _turn: self._host.alembic("downgrade", FULL, self._url), self._change
        )
        restore = Contender(
            f"restore of {what}",
            lambda _turn: self._revert("restored", "restore"),
            lambda turn: self._fail("restore", turn),
        )
        plain = Contender(self._store.plain, self._restore, lambda turn: self._fail("plain", turn))
        try:
            take_turns([downgrade, bare, restore, plain], turns)
        finally:
            self._remove()
        way = f"from a failed migration to recovered, {what}"
        most, more = (self._store.most, self._store.most_more) if self._size >= _JUDGED else (None, None)
        allowance = self._store.allowance(self._size)
        less = f", less {allowance:g} s" if allowance else ""
        return [
            Difference(f"{way}, by downgrade, beside a bare one", downgrade, bare, more),
            RatioBeyond(f"{way}, by restore{less}, beside {self._store.plain}", restore, plain, most, allowance),
        ]
