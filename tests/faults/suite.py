"""All faults, in the order of the table."""

from __future__ import annotations

from tests.faults import (
    clocks,
    disks,
    dumps,
    links,
    locks,
    mariadb_others,
    mariadb_revisions,
    mariadb_servers,
    names,
    processes,
    revisions,
    servers,
    steps,
)
from tests.faults.fault import REGISTERED, Fault

#: Each registers its faults when it is imported.
PARTS = (
    *(processes, steps, links, servers, mariadb_servers, disks, dumps, locks, mariadb_others),
    *(revisions, mariadb_revisions, names, clocks),
)

FAULTS: tuple[Fault, ...] = tuple(REGISTERED)
