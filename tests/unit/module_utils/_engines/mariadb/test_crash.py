"""A server that is killed, a connection that is cut, and an error, in a revision after each of its statements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.targets import MariaDBTarget
from tests.lab.fixtures import MariaDatabase
from tests.lab.mariadb import MariaDBServer
from tests.unit.module_utils._engines.mariadb.test_upgrade import Upgraded

STATEMENTS = (
    "create table made (a int)",
    "insert into item (id, name) values (9, 'more')",
    "alter table item add x int",
    "update item set x = 1",
    "create index by_name on item (name)",
    "delete from item where id = 1",
    "alter table item drop note",
    "insert into made values (1)",
    "create view names as select name from item",
    "rename table made to renamed",
)
#: What happens behind a statement; the last one ends the server itself.
FAULTS = {
    "error": "raise RuntimeError('on purpose')",
    "cut": "op.get_bind().connection.driver_connection._force_close()",
    "killed": "op.execute('kill connection_id()')",
    "crash": "__import__('os').kill({pid}, 9)",
}


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer() as own:
        yield own


@pytest.fixture
def upgraded(tmp_path: Path, server: MariaDBServer) -> Upgraded:
    """A database at the first revision, and its user."""
    name = f"app{len(server.execute('show databases'))}"
    password = server.create_user(name)
    server.create_database(name)
    # Besides its own database it may make others, and see who has a transaction open.
    server.execute(f"grant all privileges on `{name}%`.* to '{name}'@'%'; grant process on *.* to '{name}'@'%'")
    done = Upgraded(tmp_path, MariaDBTarget(MariaDatabase(server, name, name, password)))
    assert done.upgrade()["outcome"] == "upgraded"
    done.target.fill()
    return done


#: How many statements are executed before; tests/integration/test_mariadb_kills.py has each of them.
NUMBERS = {"error": (2, 10), "cut": (4,), "killed": (5,), "crash": (1, 10)}


def without_counters(dump: str) -> str:
    """A dump without the next numbers, which no rollback takes back."""
    return re.sub(r" AUTO_INCREMENT=\d+", "", dump)


@pytest.mark.parametrize(("fault", "number"), [(fault, number) for fault in FAULTS for number in NUMBERS[fault]])
def test_it_is_reverted_or_held_as_it_is(upgraded: Upgraded, server: MariaDBServer, fault: str, number: int) -> None:
    process = server.process
    assert process
    wrong = FAULTS[fault].format(pid=process.pid)
    lines = [*(f"op.execute({each!r})" for each in STATEMENTS)]
    upgraded.host.revise("generic", "0003", "0002", "\n    ".join([*lines[:number], wrong, *lines[number:]]))
    before = upgraded.target.dump()
    assert upgraded.upgrade()["outcome"] == "failed"
    if fault == "crash":
        process.wait(10)
        server.start()
    left = upgraded.target.dump()
    reverted = upgraded.revert()
    if reverted["outcome"] == "held":
        # Without the session, or with a server that was started again, no counter says whose rows they are.
        assert fault != "error"
        assert upgraded.target.dump() == left
        assert set(reverted["ways_out"]) == {"back", "forward"}
        return
    assert reverted["outcome"] in ("untouched", "restored")
    assert without_counters(upgraded.target.dump()) == without_counters(before)

    upgraded.host.revise("generic", "0003", "0002", "\n    ".join(lines))
    assert upgraded.upgrade(retry_failed=True)["outcome"] == "upgraded"
    assert upgraded.target.revisions == ["0003"]
    assert upgraded.target.rows("select id, x from item order by id") == [(2, 1), (3, 1), (9, 1)]
