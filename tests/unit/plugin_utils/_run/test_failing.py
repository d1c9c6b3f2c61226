"""A failure's message, as Ansible's YAML prints it."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._run.failing import FailedOnce

COMMAND = """ansible-playbook -i inventory/mine migrate.yml -e '{"migrate_retry_failed": ["app"]}'"""


@pytest.mark.parametrize(
    "msg",
    [
        f"Database 'app' is held [database-held]: it failed. Then: {COMMAND}",
        f"It failed. Then: {COMMAND}",
        f"Then: {COMMAND}",
        f"It failed.\nThen: {COMMAND}",
    ],
)
def test_a_command_in_it_can_be_pasted(msg: str) -> None:
    shown = FailedOnce(msg).result_contribution["msg"]

    assert shown.removesuffix("\n") == msg
    assert "\n" in shown  # so that it is printed as a block


def test_a_short_one_stays_on_its_line() -> None:
    assert FailedOnce("shop: failed").result_contribution["msg"] == "shop: failed"
