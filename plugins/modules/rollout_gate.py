#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_gate
short_description: Record how a batch of a rollout ended, and decide whether to continue
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Shut when a host of the first batch failed, all hosts of a batch, or more than O(max_failures) allows; when what is
    left of the window is too short for the next batch; and when a person does not answer yes.
  - With a O(soak), the gate is called twice. RV(again) names the hosts whose health is to be recorded in between, by
    M(hosting.alembic.rollout_record) with its part V(soaked).
  - A host of the batch that has left nothing was lost.
  - Does not fail. A gate that fails would end the playbook before anything is rolled back.
  - Runs on the controller only; no connection is made.
options:
  max_failures:
    description: How many hosts and databases may fail, a number or a share for both, or a mapping with one for each.
    type: raw
    default: 0
  on_failure:
    description: Whether what was migrated stays, or is rolled back.
    type: str
    choices: [stop, rollback]
    default: stop
  soak:
    description: Seconds to wait before the next batch.
    type: float
    default: 0
  confirm:
    description: Whether a person has to confirm, at the terminal, with the plan of the next batch.
    type: bool
    default: false
  soaked:
    description: Whether the hosts of the batch were checked again after the soak.
    type: bool
    default: false
  deadline:
    description: When the window closes, in UTC; no batch begins that would not have ended by then.
    type: str
    default: ""
  window_margin:
    description: Seconds that a database is expected to take where no journal has its time.
    type: float
    default: 0
  workers:
    description: How many databases of a host are migrated at once.
    type: int
    default: 1
  on_deferred:
    description: With V(accept) a batch begins if any of its databases fits into what is left of the window.
    type: str
    choices: [fail, accept]
    default: fail
  manifests:
    description: Folder of the manifests on the controller; none is written without.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Writes no manifest.
  diff_mode:
    support: none
    description: Changes nothing on a host.
seealso:
  - module: hosting.alembic.rollout_record
  - module: hosting.alembic.rollout_summary
"""

EXAMPLES = r"""
- name: Decide whether to continue
  hosting.alembic.rollout_gate:
    max_failures: "10%"
    soak: 600
  run_once: true
  register: gate

- name: End the play
  ansible.builtin.meta: end_play
  when: not gate.open
"""

RETURN = r"""
open:
  description: Whether the next batch begins; never after the last one.
  returned: success
  type: bool
why:
  description: Why it is shut, or nothing.
  returned: success
  type: str
again:
  description: The hosts to check again after the soak, before the gate is called a second time.
  returned: success
  type: list
  elements: str
next:
  description: The plan of the next batch, in words.
  returned: success
  type: list
  elements: str
"""
