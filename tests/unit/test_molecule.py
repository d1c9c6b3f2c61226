"""Molecule passes silently over a step without a playbook: that every step has one is proven here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.lab import PROJECT

SHARED = yaml.safe_load((PROJECT / ".config/molecule/config.yml").read_text())
SCENARIOS = sorted((PROJECT / "molecule").glob("*/molecule.yml"))
# Steps that run no playbook of their own.
BUILT_IN = {"idempotence": "converge"}


def _playbook(folder: Path, name: str) -> Path:
    named: str = SHARED["ansible"]["playbooks"].get(name, f"{name}.yml")
    return folder / named.replace("${MOLECULE_PROJECT_DIRECTORY}", str(PROJECT))


def test_there_are_scenarios() -> None:
    assert SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: str(path.parent.name))
def test_every_step_has_its_playbook(scenario: Path) -> None:
    own = yaml.safe_load(scenario.read_text()) or {}
    steps = own.get("scenario", SHARED["scenario"])["test_sequence"]
    assert steps[-2:] == ["verify", "destroy"] or steps[-2].startswith("verify ")
    for step in steps:
        name, *others = step.split()
        # Both: molecule searches for the usual one even when another is named.
        usual = _playbook(scenario.parent, BUILT_IN.get(name, name))
        for playbook in [usual, *(scenario.parent / other for other in others)]:
            assert playbook.is_file(), f"{step}: {playbook} is missing"


def test_what_is_left_to_make_faults_is_a_scenario() -> None:
    (left,) = [line for line in (PROJECT / "Makefile").read_text().splitlines() if "SLOW_SCENARIOS :=" in line]
    assert set(left.split(":=")[1].split()) < {path.parent.name for path in SCENARIOS}
