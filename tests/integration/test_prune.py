"""What restores replaced is retained until an operator has it dropped."""

from __future__ import annotations

from typing import Any

from tests.integration.site import Site, assert_says
from tests.integration.targets import PostgresTarget, SQLiteTarget


def test_what_a_restore_replaced_is_listed_warned_of_and_dropped_when_requested(
    site: Site, sqlite: SQLiteTarget
) -> None:
    settings: dict[str, Any] = {"migrate_databases": [sqlite.entry]}
    site.run("migrate", migrate_source=site.source("generic"), **settings)
    sqlite.fill()
    site.run("migrate", code=2, migrate_source=site.source("broken"), **settings)
    assert sqlite.revisions == ["0002"]
    (path,) = sqlite.path.parent.glob("app.db.aside-*")
    retained = SQLiteTarget(path)
    before, replaced = sqlite.dump(), retained.dump()
    assert replaced != before
    assert retained.rows("SELECT count(*) FROM item") == [(3,)]

    assert "WARNING" not in site.run("status", **settings).output
    assert_says(site.run("status", migrate_retained_days=0, **settings).output, f"WARNING: app: {path} ")

    listed = site.run("prune", migrate_prune_days=0, **settings)
    assert_says(listed.output, f"app retained {path} 0 days", "migrate_prune")
    young = site.run("prune", migrate_prune=True, **settings)
    assert_says(young.output, "30 days")
    foreseen = site.run("prune", "--check", "--diff", migrate_prune=True, migrate_prune_days=0, **settings)
    assert_says(foreseen.output, f"-{path}")
    assert (listed.changed, young.changed, foreseen.changed) == (0, 0, 1)
    assert (sqlite.dump(), retained.dump()) == (before, replaced)

    dropped = site.run("prune", migrate_prune=True, migrate_prune_days=0, **settings)
    assert dropped.changed == 1
    assert not list(sqlite.path.parent.glob("app.db.aside*"))
    assert sqlite.dump() == before
    assert site.run("prune", migrate_prune=True, migrate_prune_days=0, **settings).changed == 0


def test_a_replaced_database_on_a_server_is_listed_and_dropped_when_requested(
    site: Site, creator: PostgresTarget
) -> None:
    settings: dict[str, Any] = {"migrate_databases": [creator.entry]}
    site.run("migrate", migrate_source=site.source("generic", "old").keep("0001"), **settings)
    creator.fill()
    before = creator.dump()
    site.run("migrate", migrate_source=site.source("generic"), **settings)
    site.run("restore", migrate_restore_databases=[creator.name], migrate_run="back", **settings)
    retained = f"{creator.name}_aside_back"
    assert retained in databases(creator)
    assert creator.dump() == before

    listed = site.run("prune", migrate_prune_days=0, **settings)
    assert_says(listed.output, f"{creator.name} retained {retained} 0 days", "migrate_prune")
    assert retained in databases(creator)

    assert site.run("prune", migrate_prune=True, migrate_prune_days=0, **settings).changed == 1
    assert retained not in databases(creator)
    assert creator.dump() == before


def databases(target: PostgresTarget) -> list[str]:
    return [row[0] for row in target.database.server.execute("SELECT datname FROM pg_database")]
