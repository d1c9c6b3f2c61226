"""The faults that `make test` injects: some of each kind. All others are left to `make faults`."""

from __future__ import annotations

from collections.abc import Iterable

from tests.faults.fault import Fault

_SQLITE = ("sqlite",)
_POSTGRESQL = ("postgresql",)
_BOTH = _SQLITE + _POSTGRESQL
_MARIADB = ("mariadb",)

# On both engines where what happens is the engine's doing; else they take turns.
DAILY = {
    "SIGKILL of the whole worker in the middle of a step": _BOTH + _MARIADB,
    "SIGKILL of the whole worker after it changed rows in an autocommit block": _POSTGRESQL,
    "SIGKILL of ansible-playbook in mid-upgrade": _SQLITE,
    "SIGKILL of ansible-playbook and of the worker in mid-upgrade": _POSTGRESQL,
    "a backend that works on after its worker was killed": _BOTH,
    "SIGTERM of the whole worker while its journal says backed_up": _SQLITE,
    "SIGKILL of the whole worker once its journal says ran": _POSTGRESQL,
    "SIGKILL of the whole worker in mid-downgrade, once its journal says downgrade_ran": _SQLITE,
    "SIGKILL of the whole worker in mid-restore, before its journal says restored": _POSTGRESQL,
    "the host's link goes down in mid-upgrade and stays down until the run has ended": _POSTGRESQL,
    "the server crashes in mid-upgrade and is back at once": _BOTH + _MARIADB,
    "the server crashes in mid-restore (in_place) and stays away": _BOTH,
    "a standby takes over between the backup and the upgrade": _BOTH,
    "a pooler in transaction mode before the server": _BOTH,
    "the link to the database server is down for 20 s in mid-upgrade": _BOTH,
    "the password expires between the backup and the upgrade": _BOTH,
    "the disk is full while the database is dumped": _POSTGRESQL,
    "the disk is full while the run is journaled": _SQLITE,
    "the volume of the database is full in mid-upgrade": _SQLITE,
    "the disk is full while a virtualenv is built": _SQLITE,
    "the dump is flipped in one bit when a revision that left something behind has failed": _POSTGRESQL + _MARIADB,
    "an idle transaction that has read the table": _BOTH,
    "others insert a row before a revision fails that can be undone": _MARIADB,
    "two controllers at once, through two hosts": _POSTGRESQL,
    "a revision raises in its middle": _SQLITE,
    "a revision raises after an autocommit block": _POSTGRESQL,
    "a failed concurrent build leaves an INVALID index behind": _BOTH,
    "a user who may not restore, after a revision that has to be restored": _MARIADB,
    "a missing downgrade, before a revision that fails": _SQLITE,
    "a downgrade that deletes the customers' rows, before a revision that fails": _POSTGRESQL,
    "others write into a table that the run has made, while a later revision fails": _SQLITE,
    "branches and a merge, with a failure between them": _POSTGRESQL,
    "an env.py that hangs": _SQLITE,
    "an env.py that connects elsewhere": _POSTGRESQL,
    "a release that was tampered with on the host": _SQLITE,
    "hostile names of databases, schemas, tables, columns and paths": _POSTGRESQL,
    "the clock was a day ahead in the run before, and now everything is killed in mid-upgrade": _SQLITE,
}


def is_daily(fault: Fault) -> bool:
    return fault.engine in DAILY.get(fault.words, ())


def left(faults: Iterable[Fault]) -> list[str]:
    """Name the others, a line for each part."""
    by_part: dict[str, list[str]] = {}
    for fault in faults:
        if not is_daily(fault):
            words = by_part.setdefault(fault.part, [])
            words += [fault.words] if fault.words not in words else []
    return [f"{part}: {'; '.join(words)}" for part, words in by_part.items()]
