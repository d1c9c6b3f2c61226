# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout
short_description: Which hosts of a rollout a play is for
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Hosts and batch sizes for the plays of a rollout of this invocation. Makes the batches when it is first called after
    M(hosting.alembic.preflight) has begun a rollout; M(hosting.alembic.rollout_gate) decides what comes of them.
  - A play's C(hosts) and C(serial) are the only places from which a play can be steered while a playbook runs.
options:
  _terms:
    description:
      - V(hosts), those of all batches in order, and V(batches), how many are in each.
      - V(to_roll_back), those that are to be rolled back in the order in which they were migrated, and
        V(to_roll_back_batches), how many of them are rolled back at once, the last batch first.
      - V(failing), those that fail in the end, and one that does not; V(summarised), one host if none fails.
      - V(turn), what the host of the task does in its batch, V(planned), V(again) with a new plan, V(stop) or nothing.
    type: list
    elements: str
    choices: [hosts, batches, to_roll_back, to_roll_back_batches, failing, summarised, turn]
    required: true
seealso:
  - module: hosting.alembic.preflight
  - module: hosting.alembic.rollout_gate
  - plugin: hosting.alembic.hosts
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Roll out
  hosts: "{{ query('hosting.alembic.rollout', 'hosts') }}"
  serial: "{{ query('hosting.alembic.rollout', 'batches') }}"
  tasks: []
"""

RETURN = r"""
_raw:
  description: Names of hosts, or numbers.
  type: list
  elements: raw
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import begin, decide


class LookupModule(LookupBase):  # type: ignore[misc]
    """Read the manifest of this invocation."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[Any]:
        """Return what each term requires."""
        facts = variables or {}
        found = begin.find_current_manifest(facts.get("groups") or {})
        unknown = [term for term in terms if term not in (*decide.PLAY_TARGETS, "turn")]
        if unknown:
            raise AnsibleError(
                f"hosting.alembic.rollout knows {', '.join(decide.PLAY_TARGETS)} and turn, not {unknown[0]!r}"
            )
        if not found:
            return []
        targets = {term: steer(found) for term, steer in decide.PLAY_TARGETS.items() if term in terms}
        if "turn" in terms:
            targets["turn"] = [decide.turn(found, facts["inventory_hostname"])]
        return [each for term in terms for each in targets[term]]
