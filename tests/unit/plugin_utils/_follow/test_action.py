"""The options of ssh before a host is connected."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.action import notice_losses


def connection(name: str, options: dict[str, str]) -> Any:
    """Return a connection as a task gets it, with a variable for each option."""
    made = connection_loader.get(name, PlayContext())
    made.set_options(var_options={f"ansible_{option}": value for option, value in options.items()})
    return made


def command(options: dict[str, str]) -> str:
    """Return the command by which ssh would be started."""
    ssh = connection("ssh", options)
    notice_losses(ssh)
    return b" ".join(ssh._build_command("ssh", "ssh", "web1.example.net", "true")).decode()


def test_a_host_that_falls_silent_is_given_up() -> None:
    words = command({"ssh_args": "-o ControlMaster=no", "ssh_common_args": "-o ProxyJump=gate"})
    assert "-o ProxyJump=gate -o ServerAliveInterval=15 -o ServerAliveCountMax=4" in words


@pytest.mark.parametrize("option", ["ssh_args", "ssh_common_args", "ssh_extra_args"])
def test_what_was_given_counts(option: str) -> None:
    words = command({"ssh_args": "", option: "-o ServerAliveInterval=7"})
    assert "ServerAliveInterval=7" in words
    assert "ServerAliveInterval=15" not in words


def test_a_call_is_not_repeated_behind_our_back() -> None:
    ssh = connection("ssh", {"ssh_retries": "3"})
    assert ssh.get_option("reconnection_retries") == 3
    notice_losses(ssh)
    assert ssh.get_option("reconnection_retries") == 0


def test_a_connection_that_is_not_ssh_is_left_alone() -> None:
    local = connection("local", {})
    before = local.get_options()
    notice_losses(local)
    assert local.get_options() == before
