#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_batches
short_description: Make the batches of a run
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Reads what M(hosting.alembic.rollout_record) has recorded of each host that was planned. Hosts at their target
    are in no batch.
  - Decides once for all hosts; the lookup P(hosting.alembic.rollout#lookup) hands it to the plays that follow.
  - Returns why nothing is begun where that is known already.
  - Runs on the controller only; no connection is made.
options:
  run:
    description: A run to go on with, by its manifest; by default the one that the hosts were given.
    type: str
    default: ""
  target:
    description: What is upgraded to.
    type: str
    default: head
  rollout:
    description: Numbers and shares of the hosts, as C(serial) takes them.
    type: raw
    default: [1, "25%", "100%"]
  canary:
    description: A group whose hosts are the first batch.
    type: str
    default: ""
  max_failures:
    description: How many hosts and databases may fail, a number or a share for both, or a mapping with one for each.
    type: raw
    default: 0
  on_failure:
    description: With V(rollback), what is known to fail before anything begins counts already.
    type: str
    choices: [stop, rollback]
    default: stop
  manifests:
    description: Folder of the manifests on the controller; none is written without.
    type: str
    default: ""
  fleet:
    description: All hosts that belong together, for a target that contracts.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Writes no manifest.
  diff_mode:
    support: none
    description: Changes nothing on a host.
seealso:
  - module: hosting.alembic.preflight
  - module: hosting.alembic.rollout_record
  - module: hosting.alembic.rollout_gate
  - module: hosting.alembic.rollout_summary
"""

EXAMPLES = r"""
- name: Make the batches
  hosting.alembic.rollout_batches:
    rollout: [1, "25%", "100%"]
    canary: canary
  run_once: true
"""

RETURN = r"""
run:
  description: The run.
  returned: success
  type: str
batches:
  description: The hosts of each batch.
  returned: success
  type: list
  elements: list
why:
  description: Why nothing is begun, or nothing.
  returned: success
  type: str
"""
