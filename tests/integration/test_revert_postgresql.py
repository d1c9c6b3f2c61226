# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A revert is compared with the backup: what a step left is gone to the letter, or the database is held.

The verbs are driven in this process, on a real server; pg_dump says what is in the database.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils.job import Database as Entry
from tests.lab.fixtures import Database
from tests.unit.stage import Host

BASE = """
create type mood as enum ('a', 'b');
create sequence number;
create table item (id serial primary key, name varchar(50) not null, price numeric(10,4), note text, mood mood);
create table other (id integer primary key, word text);
create table log (at date not null, line text) partition by range (at);
create table log_2026 partition of log for values from ('2026-01-01') to ('2027-01-01');
create view names as select name from item;
create function twice(n integer) returns integer language sql immutable as 'select (n * 2)';
insert into item (name, price, note) values ('a', 1.4321, 'x'), ('b', 2.75, 'y'), ('c', 3.5, null);
insert into other values (1, 'one'), (2, 'two');
select lo_from_bytea(4711, 'large');
"""


def dump(database: Database) -> str:
    """Everything in the database but what belongs to Alembic and to us, as pg_dump prints it."""
    command = [
        str(database.server.bin / "pg_dump"), "--exclude-table=alembic_version", "--exclude-schema=alembic_aside_*",
        "--exclude-schema=alembic_retained_*", f"--dbname={database.server.url(database.name)}",
    ]  # fmt: skip
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in text.splitlines() if not re.match(r"--|\\(un)?restrict|$", line))


class Stage:
    """A database with something in it, and a release of its own."""

    def __init__(self, host: Host, database: Database) -> None:
        self.host, self.database = host, database
        self.entry = Entry.from_options({"name": "app", "url": database.url})
        host.ship("generic", "generic")
        versions = host.layout.release("generic") / "source" / "migrations" / "versions"
        for path in versions.glob("*.py"):
            path.unlink()
        host.revise("generic", "0001", None, "pass")  # type: ignore[arg-type]
        assert host.result("upgrade", self.entry, run="r0")["outcome"] == "upgraded"
        self.run_as_owner(BASE)

    def run_as_owner(self, sql: str) -> None:
        """Execute SQL by psql, as somebody else would."""
        url = self.database.url
        command = [str(self.database.server.bin / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", url, "-f", "-"]
        subprocess.run(command, input=sql, text=True, check=True, capture_output=True)

    def fail_after(self, upgrade: str, downgrade: str = "pass", fails: str = "raise RuntimeError('no')") -> Any:
        """Upgrade by a revision that stays and one that fails, revert, and return the revert's result."""
        self.host.revise("generic", "0002", "0001", upgrade, downgrade)
        self.host.revise("generic", "0003", "0002", fails)
        assert self.host.result("upgrade", self.entry, run="r1")["outcome"] == "failed"
        return self.host.result("downgrade", self.entry, run="r1")


@pytest.fixture
def stage(tmp_path: Path, postgres_database: Database) -> Stage:
    return Stage(Host(tmp_path / "root"), postgres_database)


def executed(sql: str) -> str:
    return f"op.execute({sql!r})"


LEFT = {
    "values": executed("update item set price = round(price)"),
    "rule": executed("create rule keep as on delete to other do instead nothing"),
}


@pytest.mark.parametrize("kind", sorted(LEFT))
def test_what_a_step_left_is_gone_or_the_database_is_held(stage: Stage, kind: str) -> None:
    before = dump(stage.database)

    result = stage.fail_after(LEFT[kind])

    assert result["outcome"] == "restored", result
    assert dump(stage.database) == before
