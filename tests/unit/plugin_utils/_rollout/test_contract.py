from __future__ import annotations

from pathlib import Path

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import contract, manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import Database, Host, Manifest


@pytest.fixture(autouse=True)
def _invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ansible"
    folder.mkdir()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(folder))


def host(target: str = "contract@head", outcome: str = "waiting", *unexpanded: str) -> Host:
    return Host("r1", "waiting", databases={"app": Database(target, outcome=outcome, unexpanded=list(unexpanded))})


def contracting(**hosts: Host) -> Manifest:
    return Manifest("r1", "contract@head", hosts=hosts)


def test_other_targets_read_nothing() -> None:
    made = Manifest("r1", "head", hosts={"web1": host("head", "waiting", "0002")})
    assert contract.explain_refusal(made, ["web1"], ["web1", "web2"], "") == ""


def test_every_host_that_was_read_has_to_be_expanded() -> None:
    made = contracting(web1=host(), web2=host("contract@head", "waiting", "0002"))
    printed = contract.explain_refusal(made, ["web1", "web2"], ["web1", "web2"], "")
    assert "web2: app not expanded" in printed
    assert "web1:" not in printed
    assert "-e migrate_target=expand@head" in printed


def test_the_target_of_a_single_database_counts() -> None:
    made = Manifest("r1", "head", hosts={"web1": host("contract@head", "refused", "0002")})
    assert "web1: app not expanded" in contract.explain_refusal(made, ["web1"], ["web1"], "")


def test_a_host_that_could_not_be_read_is_a_reason() -> None:
    made = contracting(web1=host(), web2=Host(state="lost", why="gone"))
    assert "web2: it could not be planned (gone)" in contract.explain_refusal(made, ["web1", "web2"], [], "")


@pytest.mark.parametrize(
    ("known", "expanded"),
    [
        (host("expand@head", "upgraded"), True),
        (host("expand@head", "unchanged"), True),
        (host("heads", "upgraded"), True),
        (host("contract@head", "upgraded"), True),
        (host("expand@head", "downgraded"), False),
        (host("expand@abc", "upgraded"), False),
        (host("head", "upgraded"), False),
        (Host("r0"), False),
    ],
)
def test_a_host_that_is_left_out_is_known_by_its_newest_manifest(tmp_path: Path, known: Host, expanded: bool) -> None:
    folder = str(tmp_path / "runs")
    manifest.keep(Manifest("r0", hosts={"web2": known}), folder)
    printed = contract.explain_refusal(contracting(web1=host()), ["web1"], ["web1", "web2"], folder)
    assert (printed == "") == expanded
    assert expanded or "web2: no manifest here says that it was expanded" in printed
