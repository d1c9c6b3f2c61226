# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest of a run: for each host and database what was expected, and what is. Kept on the controller."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import (
    check_run_id,
    make_private_directory,
)
from ansible_collections.hosting.alembic.plugins.module_utils._core.records import (
    LaterFormat,
    read_record,
    select_known_facts,
    write_record,
)

from .._run import invocation

#: The manifests of so many runs are kept.
KEPT = 200

#: States of a host whose part is not what was wanted.
BAD = ("refused", "failed", "lost", "not_rolled_back")
#: Outcomes of a database that is at its target.
GOOD = ("upgraded", "unchanged")


@dataclass
class Database:
    """One database of a host."""

    target: str
    #: The heads before the run, None while it is unknown.
    was: list[str] | None = None
    expected: list[str] | None = None
    #: The heads as they were last read.
    now: list[str] | None = None
    outcome: str = "waiting"
    pending: list[dict[str, str]] = field(default_factory=list)
    #: What is missing of the branch that has to be applied before this one.
    unexpanded: list[str] = field(default_factory=list)
    #: What its last rehearsal or upgrade took, None where it is unknown.
    expected_seconds: float | None = None
    why: str = ""
    #: The code of the error that ``why`` describes.
    code: str = ""


@dataclass
class Host:
    """One host's part in a run."""

    #: The id by which the host's journals know the run: what goes on after a stop gets a number behind it.
    run: str = ""
    #: unchanged, waiting, begun, migrated, failed, lost, refused, rolled_back or not_rolled_back.
    state: str = "waiting"
    #: Counted from one; 0 for a host with nothing to do.
    batch: int = 0
    begun: int = 0
    why: str = ""
    databases: dict[str, Database] = field(default_factory=dict)
    #: The names of the databases that each source found, whether they were selected or not.
    found: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Return whether it needs a person."""
        return self.state in BAD

    @property
    def has_migrated(self) -> bool:
        """Return whether this run has moved any of its databases, and it was not reverted since."""
        return any(entry.outcome == "upgraded" for entry in self.databases.values())

    @property
    def failures(self) -> list[str]:
        """Return the databases that are not where they should be although the host has had its turn."""
        return [name for name, entry in self.databases.items() if self.is_bad and entry.outcome not in GOOD]


@dataclass
class Manifest:
    """A run over the fleet."""

    run: str
    target: str = "head"
    #: begun, stopped, rolled_back or done.
    state: str = "begun"
    why: str = ""
    began: str = ""
    changed: str = ""
    batches: list[list[str]] = field(default_factory=list)
    #: How many batches have had their turn.
    ended: int = 0
    rolls_back: bool = False
    hosts: dict[str, Host] = field(default_factory=dict)

    @property
    def order(self) -> list[str]:
        """Return the hosts of all batches, the first one first."""
        return [name for batch in self.batches for name in batch]

    @property
    def count(self) -> int:
        """Return how many databases there are on all hosts."""
        return sum(len(host.databases) for host in self.hosts.values())

    @property
    def to_roll_back(self) -> list[list[str]]:
        """Return the hosts that this run has migrated, by batch; none where it must not be undone."""
        migrated = [[name for name in batch if self.hosts[name].has_migrated] for batch in self.batches]
        return [batch for batch in migrated if batch] if self.rolls_back else []

    @property
    def bad(self) -> list[str]:
        """Return the hosts that need a person."""
        return [name for name, host in self.hosts.items() if host.is_bad]

    @property
    def unfinished(self) -> list[str]:
        """Return the hosts that are not at their target and did not fail: not begun, or reverted."""
        return [name for name, host in self.hosts.items() if host.state in ("waiting", "begun", "rolled_back")]

    def as_facts(self) -> dict[str, Any]:
        """Return the manifest as plain data."""
        return asdict(self)

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Manifest:
        """Return the manifest that was written."""
        hosts = {name: _parse_host(host) for name, host in facts["hosts"].items()}
        older = {"rolls_back": facts.get("leads_back", False)}  # its name until it was reworded
        return cls(**{**select_known_facts(cls, {**older, **facts}), "hosts": hosts})


#: States of a host as versions before 0.1.0 wrote them, and of now.
_OLDER_STATES = {"led_back": "rolled_back", "not_led_back": "not_rolled_back"}


def _parse_host(facts: dict[str, Any]) -> Host:
    databases = {name: Database(**select_known_facts(Database, entry)) for name, entry in facts["databases"].items()}
    state = _OLDER_STATES.get(facts.get("state", "waiting"), facts.get("state", "waiting"))
    return Host(**{**select_known_facts(Host, facts), "state": state, "databases": databases})


def locate_manifest(folder: str, run: str) -> Path:
    """Return where a run's manifest lies.

    Raises:
        Refused: the run id cannot be a file name.
    """
    return Path(folder).expanduser() / f"{check_run_id(run)}.json"


def read(path: Path) -> Manifest | None:
    """Return a manifest, or None if there is none; one that cannot be read is none either.

    Raises:
        LaterFormat: a later version has written it in a format of its own.
    """
    try:
        return Manifest.of(read_record(path))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def count_earlier_parts(folder: str, run: str, host: str) -> int:
    """Return how often a run has begun a host already, in invocations before this one.

    Raises:
        Refused: the run id cannot be a file name, or a later version has written the run's manifest.
    """
    found = read(locate_manifest(folder, run)) if folder and run else None
    return found.hosts[host].begun if found and host in found.hosts else 0


def read_current() -> Manifest | None:
    """Return the manifest that this invocation works with."""
    return read(_locate_current())


def _locate_current() -> Path:
    return invocation.locate_folder() / "rollout.json"


def keep(manifest: Manifest, folder: str) -> None:
    """Write a manifest for this invocation, and below ``folder``, where there is one, for those to come.

    Raises:
        Refused: it cannot be written there.
    """
    manifest.changed = datetime.now(timezone.utc).isoformat(timespec="seconds")
    manifest.began = manifest.began or manifest.changed
    write_record(_locate_current(), manifest.as_facts(), indent=2)
    if not folder:
        return
    path = locate_manifest(folder, manifest.run)
    try:
        make_private_directory(path.parent.absolute())
        write_record(path, manifest.as_facts(), indent=2)
        _forget(path.parent)
    except (OSError, Refused) as error:
        raise Refused(
            f"The manifest of run {manifest.run} cannot be written",
            str(error),
            "Set migrate_manifests to a folder of your own on the controller, or to nothing to do without",
            code="run-record-not-written",
        ) from error


def _forget(folder: Path) -> None:
    written = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in written[KEPT:]:
        try:
            found = read(path)
        except LaterFormat:
            continue
        if found and found.run == path.stem:  # another file in that folder is not a run's
            path.unlink(missing_ok=True)
