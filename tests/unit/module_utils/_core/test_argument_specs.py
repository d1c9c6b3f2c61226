from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs

SPECS = {
    function.__name__: function()
    for function in (
        argument_specs.release,
        argument_specs.plan,
        argument_specs.run,
        argument_specs.upgrade,
        argument_specs.build_rollback,
    )
}


@pytest.mark.parametrize("name", SPECS)
def test_a_minimal_entry_is_filled_up_by_ansible_itself(name: str) -> None:
    given: dict[str, Any] = {"root": "/srv", "run": "r1", "databases": [{"name": "app", "url": "sqlite:////srv/a.db"}]}
    known = {key: value for key, value in given.items() if key in SPECS[name]}

    found = ArgumentSpecValidator(SPECS[name]).validate(known)

    assert found.error_messages == []
    (entry,) = found.validated_parameters["databases"]
    assert entry["url_variables"] == entry["x_arguments"] == []
    assert found.validated_parameters["target"] == "head"


@pytest.mark.parametrize("name", SPECS)
def test_an_unknown_key_of_a_database_is_refused(name: str) -> None:
    entry = {"name": "app", "url": "sqlite:////srv/a.db", "pasword": "x"}

    found = ArgumentSpecValidator(SPECS[name]).validate({"root": "/srv", "run": "r1", "databases": [entry]})

    assert any("pasword" in message for message in found.error_messages)


def test_passwords_are_marked_and_nothing_else_is() -> None:
    passwords = {key for key in argument_specs.DATABASE if "password" in key}
    assert {key for key, spec in argument_specs.DATABASE.items() if spec.get("no_log")} == passwords
