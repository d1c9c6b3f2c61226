"""What Ansible ships with a module: each file of module_utils that it, or one of those, imports anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.code import CALLED_BY_CODE
from tests.layers import PLUGINS, imported


def shipped(module: str) -> set[str]:
    """Return the files that are shipped with a module."""
    waiting, found = [PLUGINS / "modules" / f"{module}.py"], set[Path]()
    while waiting:
        for path in imported(waiting.pop()):
            if path not in found:
                found.add(path)
                waiting.append(path)
    return {str(path.relative_to(PLUGINS / "module_utils")) for path in found}


@pytest.mark.parametrize("module", [path.stem for path in (PLUGINS / "modules").glob("*.py")])
def test_ansible_sends_few_files_with_a_module(module: str) -> None:
    """What a module works with besides comes to the host once, and not with each call."""
    found = shipped(module)
    lines = sum(len((PLUGINS / "module_utils" / name).read_text().splitlines()) for name in found)
    assert len(found) <= 16
    assert lines <= 3_000
    assert [name for name in found if name.startswith(("_engines/", "_migration/", "_answers/"))] == []
    assert ("_module/code.py" in found) == (module in CALLED_BY_CODE) == bool(found)


def test_the_code_of_hosts_is_no_more_than_it_was() -> None:
    """It grows by itself; a change that lets it grow is recorded here.

    Databases that are found took 16 files and 1,400 lines: a plan finds them on the host, in its one execution.
    A schema per tenant took 5 files and 680 lines. MariaDB took 44 files and 5,400 lines,
    who has changed a schema of SQLite 2 and 160, the checksums of an archive 1 and 170, which tables a run of
    MariaDB has written 4 and 650, rehearsals on MariaDB 6 and 950, how names of MariaDB are compared 1 and 40,
    what was defined under other defaults of a database 90, names with line breaks 1 and 100,
    tables without transactions 70, statements as they are printed 1, a list of databases on MariaDB 2 and 150,
    what two engines do alike before a plan and what restores execute 2, what a database was made with 1 and 60,
    a command for the user of one database 130, what follows from what a revision of MariaDB names 1 and 210,
    what sessions of MariaDB count by themselves 1 and 60,
    one of several engines of env.py 1 and 90,
    a fingerprint of an older PostgreSQL 1 and 280, code that is kept on the host 18 and 910,
    what a failed revision of MariaDB may have taken of others' 4 and 420,
    one table of the engines, and their drivers beside them 5 and 40, journals that are polled 20,
    keys of older versions and names that are a verb and its object 200, what to type next in more errors 50,
    what a record at head rests on, secrets by their names, variables of libpq 220,
    what a plan and a result are made of, as types, 1 and 190,
    a restore of MariaDB within the database itself 4 and 750,
    who restores which part of an archive of PostgreSQL by hand 1 and 270,
    predictions of a rollback and a backup 1 and 120,
    unfinished and held databases that are found no more, and lists that are damaged, 1 and 260,
    rows that are excluded or unreadable one by one, and names across sources, 200,
    records in one place with the number of their format 1 and 110, what to type next in the last errors 140,
    databases that a run writes to besides its own 5 and 620,
    what a plan leaves for the upgrade of its run, and readings that are not repeated, 1 and 180,
    what a status, a pruning and a list of backups are made of, as types, 110,
    plans of many databases as one text, and journals that are read once, 1 and 120,
    the owner and the mode of a file of SQLite, and subscriptions that were dropped, 40,
    what others write during a rollback 2 and 280.
    """
    found = list((PLUGINS / "module_utils").rglob("*.py"))
    assert len(found) <= 385
    assert sum(len(path.read_text().splitlines()) for path in found) <= 49_510
