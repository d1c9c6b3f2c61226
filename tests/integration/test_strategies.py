"""Whatever strategy is the default: the playbooks run host beside host, and a task says what it cannot do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible_mitogen
import pytest
import yaml

from tests.codes import assert_code
from tests.integration.fleet import FAILS, Fleet
from tests.integration.site import Site
from tests.integration.targets import SQLiteTarget
from tests.lab import ansible

MITOGEN = {"ANSIBLE_STRATEGY_PLUGINS": str(Path(ansible_mitogen.__file__).parent / "plugins" / "strategy")}


@pytest.fixture
def fleet_of(tmp_path: Path, newest_virtualenv: Path) -> Callable[[int], Fleet]:
    return lambda count: Fleet(tmp_path, newest_virtualenv, count)


def in_play(site: Site, strategy: str, code: int, **settings: Any) -> ansible.Outcome:
    """Run the role in a play of a user's own."""
    play = {"hosts": "all", "gather_facts": False, "strategy": strategy, "roles": ["hosting.alembic.migrate"]}
    path = site.folder / f"{strategy}.yml"
    path.write_text(yaml.safe_dump([play]))
    return ansible.playbook(path, inventory=site.inventory(**settings), env=MITOGEN).ended(code)


@pytest.mark.parametrize("strategy", ["free", "host_pinned", "mitogen_linear"])
def test_a_rollout_waits_for_all_hosts_of_a_batch(site: Site, fleet_of: Callable[[int], Fleet], strategy: str) -> None:
    # The host that fails is the last of its batch to end.
    source = site.source("generic", "release").add(
        "0003", "0002", f"time.sleep(2 * bool(os.environ.get('FAILS')))\n{FAILS}"
    )
    fleet = fleet_of(4)
    fleet.own["web3"] = {"environment": {"FAILS": "1"}}

    fleet.run(
        "migrate", code=2, env={**MITOGEN, "ANSIBLE_STRATEGY": strategy}, migrate_source=source, migrate_rollout=[3, 1]
    )

    assert fleet.revisions() == fleet.at(web1=3, web2=3)
    assert fleet.states()["web4"] == "waiting"


def test_the_role_in_a_play_of_mitogens_says_which_strategy_it_needs(site: Site, sqlite: SQLiteTarget) -> None:
    settings = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}

    outcome = in_play(site, "mitogen_linear", 2, **settings)

    assert_code(outcome, "mitogen-strategy")
    assert not sqlite.path.exists()
    assert not site.root.exists()
    in_play(site, "ansible.builtin.linear", 0, **settings)
    assert sqlite.revisions == ["0002"]
