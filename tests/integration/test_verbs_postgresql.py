"""Every verb on PostgreSQL, one after the other, each seen through pg_dump: run on each version."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.site import Site, assert_says, printed
from tests.integration.targets import PostgresTarget

pytestmark = pytest.mark.exhaustive


@pytest.mark.parametrize("method", ["swap", "in_place"])
def test_every_verb(site: Site, creator: PostgresTarget, method: str) -> None:
    server, name = creator.database.server, creator.name
    settings: dict[str, Any] = {
        "migrate_source": site.source("generic"),
        "migrate_databases": [creator.entry],
        "migrate_restore_method": method,
        "migrate_health_checks": [{"sql": "SELECT count(*) FROM item", "expect": 0, "database": name}],
    }
    empty = creator.dump()
    site.run("ship", **settings)
    assert_says(site.run("plan", **settings).output, "base -> 0002")
    assert_says(site.run("rehearse", **settings).output, f"{name} rehearsed base 0002 2 reversible")
    assert creator.dump() == empty

    site.run("migrate", **settings)

    assert creator.revisions == ["0002"]
    assert_says(printed(site.run("status", **settings).output), "0002")
    creator.fill()
    full = creator.dump()
    site.run("backup", **settings)
    (backup,) = (path.name for path in site.backups(name)[-1:])
    site.run("rollback", **settings)
    assert (creator.revisions, creator.tables()) == ([], [])
    rolled_back = creator.dump()
    restored: dict[str, Any] = {
        "migrate_restore_run": backup,
        "migrate_restore_databases": [name],
        "migrate_restore_loses_writes": True,
    }
    site.run("restore", **restored, **settings)
    assert creator.dump("--exclude-schema=alembic_aside_*") == full
    site.run("recover", **settings)
    site.run("prune", **settings)
    assert creator.dump("--exclude-schema=alembic_aside_*") == full
    kept = server.execute(f"SELECT datname FROM pg_database WHERE datname LIKE '{name}_aside_%'")
    assert bool(kept) == (method == "swap")
    assert rolled_back != full
    source = settings["migrate_source"]
    source.add("0003", "0002", "op.create_table('half', sa.Column('id', sa.Integer()))\nraise RuntimeError('broken')")
    site.run("migrate", code=2, **settings)
    assert creator.dump("--exclude-schema=alembic_aside_*") == full
