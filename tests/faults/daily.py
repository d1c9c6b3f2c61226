"""The faults that `make test` injects: some of each kind. All others are left to `make faults`."""

from __future__ import annotations

from collections.abc import Iterable

from tests.faults.fault import Fault

DAILY = (
    "SIGKILL of the whole worker in the middle of a step",
    "SIGKILL of the whole worker after it changed rows in an autocommit block",
    "SIGKILL of ansible-playbook in mid-upgrade",
    "SIGKILL of ansible-playbook and of the worker in mid-upgrade",
    "a backend that works on after its worker was killed",
    "SIGTERM of the whole worker while its journal says backed_up",
    "SIGKILL of the whole worker once its journal says ran",
    "SIGKILL of the whole worker in mid-downgrade, once its journal says downgrade_ran",
    "SIGKILL of the whole worker in mid-restore, before its journal says restored",
    "the host's link goes down in mid-upgrade and stays down until the run has ended",
    "the server crashes in mid-upgrade and is back at once",
    "the server crashes in mid-restore (in_place) and stays away",
    "a standby takes over between the backup and the upgrade",
    "a pooler in transaction mode before the server",
    "the link to the database server is down for 20 s in mid-upgrade",
    "the password expires between the backup and the upgrade",
    "the disk is full while the database is dumped",
    "the disk is full while the run is journaled",
    "the volume of the database is full in mid-upgrade",
    "the disk is full while a virtualenv is built",
    "the dump is flipped in one bit when a revision that left something behind has failed",
    "an idle transaction that has read the table",
    "two controllers at once, through two hosts",
    "a revision raises in its middle",
    "a revision raises after an autocommit block",
    "a failed concurrent build leaves an INVALID index behind",
    "a missing downgrade, before a revision that fails",
    "a downgrade that deletes the customers' rows, before a revision that fails",
    "others write into a table that the run has made, while a later revision fails",
    "branches and a merge, with a failure between them",
    "an env.py that hangs",
    "an env.py that connects elsewhere",
    "a release that was tampered with on the host",
    "hostile names of databases, schemas, tables, columns and paths",
    "the clock was a day ahead in the run before, and now everything is killed in mid-upgrade",
)


def left(faults: Iterable[Fault]) -> list[str]:
    """Name the others, a line for each part."""
    by_part: dict[str, list[str]] = {}
    for fault in faults:
        if fault.words not in DAILY:
            words = by_part.setdefault(fault.part, [])
            words += [fault.words] if fault.words not in words else []
    return [f"{part}: {'; '.join(words)}" for part, words in by_part.items()]
