"""The action groups: a module is in one if it takes the options that ``module_defaults`` of the group set."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.lab import PROJECT

MODULES = PROJECT / "plugins" / "modules"
FRAGMENT = "hosting.alembic.options."
#: Modules that take the options of a release for a part of what they do only, and are given them one by one.
IN_NO_GROUP = {"health", "maintenance"}


def fragments_of(module: str) -> set[str]:
    """Return the groups of options that a module takes."""
    found = re.search(
        r'DOCUMENTATION = r?"""(.*?)"""', (MODULES / f"{module}.py").read_text(encoding="utf-8"), re.DOTALL
    )
    assert found
    documented: dict[str, Any] = yaml.safe_load(found[1])
    return {name.removeprefix(FRAGMENT) for name in documented.get("extends_documentation_fragment") or []}


def test_each_module_is_in_the_group_whose_options_it_takes() -> None:
    groups = yaml.safe_load((PROJECT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    taken = {path.stem: fragments_of(path.stem) for path in MODULES.glob("*.py")}

    assert set(groups["runs"]) == {name for name, options in taken.items() if {"release", "run"} <= options}
    of_a_release = {name for name, options in taken.items() if "release" in options and "run" not in options}
    assert set(groups["readers"]) == of_a_release - IN_NO_GROUP
    assert set(groups) == {"readers", "runs"}
    assert all(names == sorted(names) for names in groups.values())
