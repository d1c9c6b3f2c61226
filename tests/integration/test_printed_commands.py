"""A printed command is typed as it was printed, in a shell, in the folder where the run was started."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet import Fleet
from tests.integration.site import Site
from tests.integration.typed import printed, typed, types
from tests.lab import PROJECT, ansible


@pytest.fixture
def fleet(tmp_path: Path, newest_virtualenv: Path) -> Fleet:
    """Two hosts; a database of the same name on each, at the first revision and with rows."""
    return Fleet(tmp_path, newest_virtualenv, 2)


@types(
    "module_utils/_revert/ways_out.restore_command restore migrate_restore_run",
    "plugin_utils/_rollout/summary._build_resume_command migrate",
)
def test_each_printed_command_works_where_the_run_was_started_and_on_its_host_alone(fleet: Fleet, site: Site) -> None:
    here, source = fleet.folder, site.source("broken")
    settings: dict[str, Any] = {"migrate_source": source, "migrate_rollout": "100%"}
    fleet.run("migrate", migrate_target="0001", **settings)
    for name in fleet.names:
        fleet.database(name).fill()
    before = {name: fleet.database(name).dump() for name in fleet.names}
    inventory = fleet.inventory(**settings).name
    (here / "mine.yml").write_text("migrate_on_failure: hold\n")

    # The run: from a folder of the operator's own, with an inventory and a file of variables by relative paths.
    words = ["-i", inventory, "-e", "@mine.yml", "-e", "migrate_workers=1 migrate_target=head"]
    run = ansible.playbook(PROJECT / "migrate.yml", *words, cwd=here).ended(2)
    assert fleet.revisions() == fleet.at(web1=2, web2=2)

    # Status prints it again, for the host that it reads.
    status = ansible.playbook(
        "hosting.alembic.status", "-i", inventory, "--limit", "web2", cwd=here, env=_found()
    ).ended()
    typed(printed(status.output, "To restore the old state: "), here).ended()
    assert fleet.database("web2").dump() == before["web2"]
    assert fleet.revisions() == fleet.at(web1=2, web2=1)

    # What the run has printed of each of its hosts.
    typed(printed(run.output, "To restore the old state: "), here).ended()
    assert fleet.database("web1").dump() == before["web1"]

    source.add("0003", "0002").add("0004", "0003")
    for path in source.versions.glob("000[34]_*.py"):
        path.unlink()
    typed(printed(run.output, "Next: correct what failed, then: "), here).ended()
    assert fleet.revisions() == fleet.at(web1=4, web2=4)


def test_a_printed_command_opens_the_vault_of_its_run(fleet: Fleet, site: Site) -> None:
    here, source = fleet.folder, site.source("broken")
    settings: dict[str, Any] = {"migrate_source": source, "migrate_rollout": "100%"}
    fleet.run("migrate", migrate_target="0001", **settings)
    before = {name: fleet.database(name).dump() for name in fleet.names}
    (here / "pass word").write_text("sesame")
    words: list[Any] = ["encrypt_string", "--vault-password-file", here / "pass word", "--name", "migrate_on_failure"]
    done = subprocess.run([ansible.BIN / "ansible-vault", *words, "hold"], capture_output=True, text=True, check=True)
    (here / "group_vars").mkdir()
    (here / "group_vars" / "all.yml").write_text(done.stdout)
    words = ["-i", fleet.inventory(**settings).name, "--vault-password-file", "pass word"]
    run = ansible.playbook(PROJECT / "migrate.yml", *words, cwd=here).ended(2)
    assert fleet.revisions() == fleet.at(web1=2, web2=2)

    typed(printed(run.output, "To restore the old state: "), here).ended()

    assert fleet.database("web1").dump() == before["web1"]
    assert fleet.revisions() == fleet.at(web1=1, web2=2)


def _found() -> dict[str, str]:
    return {"ANSIBLE_COLLECTIONS_PATH": str(PROJECT / "collections")}
