"""An applied revision whose file was edited since, seen by the playbooks on both engines."""

from __future__ import annotations

from typing import Any

from tests.integration.site import Site, assert_says
from tests.integration.targets import Target


def test_an_applied_file_that_was_edited_is_reported_or_refused(site: Site, targets: list[Target]) -> None:
    source = site.source("generic")
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [target.entry for target in targets]}
    site.run("migrate", **settings)
    (edited,) = source.versions.glob("0001*.py")
    edited.write_text(edited.read_text() + "\n# edited\n")
    source.add("0003", "0002", "op.create_table('extra', sa.Column('id', sa.Integer))")
    strict = {**settings, "migrate_on_changed_history": "refuse"}
    refused = site.run("migrate", code=2, **strict)
    for target in targets:
        assert target.revisions == ["0002"]
        assert len(site.backups(target.name)) == 1
    names = f"2 databases ({', '.join(target.name for target in targets)})"
    assert_says(refused.output, names, "[revision-files-changed]")
    warned = site.run("migrate", **settings)
    state = site.run("status", **settings)
    assert [target.revisions for target in targets] == [["0003"], ["0003"]]
    for outcome in (warned, state):
        assert_says(outcome.output, f"WARNING: {names}", "[revision-files-changed]")
    # At head there is nothing to refuse, and the quick answer still reports it.
    again = site.run("migrate", **strict)
    assert again.changed == 0
    assert_says(again.output, "WARNING: ", "[revision-files-changed]")
