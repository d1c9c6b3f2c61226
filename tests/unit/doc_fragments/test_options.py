"""The documentation says of every option what its definition says."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml

from ansible_collections.hosting.alembic.plugins.doc_fragments.options import ModuleDocFragment
from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from tests.unit.stage import PROJECT

MODULES = sorted(path.stem for path in (PROJECT / "plugins" / "modules").glob("*.py"))

DEFINED = {
    "backup": argument_specs.run(),
    "backups_info": argument_specs.build_backups(),
    "downgrade": argument_specs.downgrade(),
    "fetch_backups": argument_specs.fetch_backups(),
    "health": argument_specs.build_health(),
    "maintenance": argument_specs.build_maintenance(),
    "plan_info": argument_specs.plan(),
    "prune": argument_specs.prune(),
    "rehearse": argument_specs.rehearse(),
    "recover": argument_specs.run(),
    "release": argument_specs.build_shipping(),
    "restore": argument_specs.restore(),
    "rollback": argument_specs.build_rollback(),
    "status_info": argument_specs.build_status(),
    "upgrade": argument_specs.upgrade(),
}


def documented(module: str) -> dict[str, Any]:
    """Return the documented options of a module, those of its fragments included."""
    source = importlib.import_module(f"ansible_collections.hosting.alembic.plugins.modules.{module}")
    text = yaml.safe_load(source.DOCUMENTATION)
    fragments = text.get("extends_documentation_fragment", [])
    options: dict[str, Any] = {}
    for fragment in [fragments] if isinstance(fragments, str) else fragments:
        assert fragment.startswith("hosting.alembic.options"), fragment
        part = fragment.removeprefix("hosting.alembic.options").removeprefix(".") or "documentation"
        options.update(yaml.safe_load(getattr(ModuleDocFragment, part.upper())).get("options", {}))
    return {**options, **text["options"]}


def compare(place: str, defined: dict[str, Any], options: dict[str, Any]) -> None:
    assert set(options) == set(defined), place
    for name, spec in defined.items():
        option = options[name]
        assert option.get("description"), f"{place}.{name} has no description"
        for key in ("type", "elements", "default", "choices"):
            assert option.get(key) == spec.get(key), f"{place}.{name}: {key}"
        assert option.get("required", False) == spec.get("required", False), f"{place}.{name}: required"
        if "options" in spec:
            compare(f"{place}.{name}", spec["options"], option["suboptions"])


@pytest.mark.parametrize("module", sorted(DEFINED))
def test_every_option_is_documented_as_it_is_defined(module: str) -> None:
    compare(module, DEFINED[module], documented(module))


def test_no_module_that_takes_options_on_a_host_is_forgotten() -> None:
    controller_only = {"preflight", "report", "run_id", "schedule"}
    controller_only |= {"rollout_gate", "rollout_record", "rollout_summary"}

    assert set(DEFINED) | controller_only == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_an_example_that_names_it(module: str) -> None:
    source = importlib.import_module(f"ansible_collections.hosting.alembic.plugins.modules.{module}")

    assert any(f"hosting.alembic.{module}" in task for task in yaml.safe_load(source.EXAMPLES))
    assert yaml.safe_load(source.DOCUMENTATION)["module"] == module
    assert all(entry["description"] and entry["returned"] for entry in yaml.safe_load(source.RETURN).values())
