# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: hosts
short_description: A pattern of hosts that matches some
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Returns a pattern for a play's C(hosts) unchanged, and fails where it matches no host of the inventory.
  - Ansible itself passes over a play without hosts, and ends with exit code 0.
options:
  _terms:
    description: A pattern.
    type: list
    elements: str
    required: true
seealso:
  - plugin: hosting.alembic.rollout
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Back up every database
  hosts: "{{ query('hosting.alembic.hosts', migrate_hosts | default('all')) }}"
  tasks: []
"""

RETURN = r"""
_raw:
  description: The pattern.
  type: list
  elements: str
"""

from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):  # type: ignore[misc]
    """Compare the pattern with the inventory of this invocation."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[Any]:
        """Return the pattern."""
        groups = (variables or {}).get("groups") or {}
        inventory = InventoryManager(DataLoader(), parse=False)
        for group, hosts in groups.items():
            inventory.add_group(group)
            for host in hosts:
                inventory.add_host(host, group=group)
        patterns = [str(each) for term in terms for each in (term if isinstance(term, list) else [term])]
        # An empty inventory has its own warning, and its implicit localhost is meant for other plays.
        if context.CLIARGS.get("syntax"):
            return patterns  # nothing runs, and the inventory may be another one
        limit = context.CLIARGS.get("subset")
        if limit:
            inventory.subset(limit)
        if groups.get("all") and patterns != ["all"] and not inventory.list_hosts(patterns):
            where = f"that --limit {limit} leaves" if limit else "of the inventory"
            raise AnsibleError(
                f"migrate_hosts {','.join(patterns)!r} matches no host {where}, so nothing would be done. Correct it,"
                " or see which hosts there are: ansible-inventory --graph"
            )
        return patterns
