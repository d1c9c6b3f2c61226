# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: result
short_description: Read the whole result of a verb that failed
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - A verb that fails returns a short result, which Ansible prints. That of each database is kept on the controller
    until the playbook has ended; this reads it.
options:
  _terms:
    description: Registered results. One that is whole is returned as it is.
    type: list
    elements: dict
    required: true
seealso:
  - module: hosting.alembic.report
"""

EXAMPLES = r"""
- name: Show what became of each database
  ansible.builtin.debug:
    msg: "{{ lookup('hosting.alembic.result', registered).databases }}"
"""

RETURN = r"""
_raw:
  description: The whole results.
  type: list
  elements: dict
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.hosting.alembic.plugins.plugin_utils._run import invocation


class LookupModule(LookupBase):  # type: ignore[misc]
    """Read what an action has kept in this invocation."""

    def run(
        self, terms: list[dict[str, Any]], variables: dict[str, Any] | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """Return the whole results."""
        host = (variables or {}).get("inventory_hostname", "")
        return [
            {**term, **(invocation.read_shared(term["kept"], host) or {})} if "kept" in term else term for term in terms
        ]
