"""The interface of the role, its defaults and its description, is one."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from tests.unit.stage import PROJECT

ROLE = PROJECT / "roles" / "migrate"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


DEFAULTS: dict[str, Any] = read(ROLE / "defaults" / "main.yml")
SPECS: dict[str, Any] = read(ROLE / "meta" / "argument_specs.yml")["argument_specs"]
MAIN: dict[str, Any] = SPECS["main"]["options"]


def test_every_variable_is_required_or_has_a_default() -> None:
    required = {name for name, spec in MAIN.items() if spec.get("required")}

    assert set(DEFAULTS) | required == set(MAIN)
    assert not set(DEFAULTS) & required


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_a_default_is_described_as_it_is(name: str) -> None:
    assert MAIN[name]["default"] == DEFAULTS[name]
    assert type(MAIN[name]["default"]) is type(DEFAULTS[name])


def test_every_variable_begins_alike() -> None:
    assert all(name.startswith("migrate_") for name in MAIN)


def undescribed(place: str, options: dict[str, Any]) -> list[str]:
    found = [f"{place}.{name}" for name, spec in options.items() if not spec.get("description") or not spec.get("type")]
    return found + [line for name, spec in options.items() for line in undescribed(name, spec.get("options", {}))]


def test_every_variable_is_described() -> None:
    assert undescribed("main", MAIN) == []


@pytest.mark.parametrize("entry", sorted(set(SPECS) - {"main"}))
def test_the_other_entry_points_leave_the_variables_to_main(entry: str) -> None:
    """As ansible-doc prints all of them again for each that has them: 12,000 lines."""
    assert SPECS[entry]["short_description"]
    assert "options" not in SPECS[entry]
    assert SPECS[entry]["description"][-1] == "Its variables are those of the entry point C(main)."


def test_every_entry_point_has_tasks_and_every_playbook_an_entry_point() -> None:
    assert {entry for entry in SPECS if not (ROLE / "tasks" / f"{entry}.yml").is_file()} == set()
    playbooks = {path.stem for path in (PROJECT / "playbooks").glob("*.yml")}
    assert playbooks - {"migrate"} <= set(SPECS)


def test_a_database_has_the_keys_that_the_modules_take() -> None:
    described = MAIN["migrate_databases"]["options"]

    assert set(described) == set(argument_specs.DATABASE)
    for name, spec in argument_specs.DATABASE.items():
        for key in ("type", "elements", "required", "no_log"):
            assert described[name].get(key) == spec.get(key), f"{name}: {key}"


def test_a_variable_has_the_default_of_its_option() -> None:
    for name, spec in {**argument_specs.run(), **argument_specs.build_shipping()}.items():
        variable = f"migrate_{name}"
        # The text of the requirements is what the module gets; the variable names their file.
        if variable in DEFAULTS and "default" in spec and name != "requirements":
            assert DEFAULTS[variable] == spec["default"], variable


def test_every_variable_is_used() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "roles").rglob("*.yml"))
    text += "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "playbooks").rglob("*.yml"))
    interface = (ROLE / "defaults" / "main.yml").read_text() + (ROLE / "meta" / "argument_specs.yml").read_text()

    used, described = (Counter(re.findall(r"\w+", each)) for each in (text, interface))
    assert [name for name in MAIN if used[name] <= described[name]] == []
