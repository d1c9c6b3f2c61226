#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_record
short_description: Record the result of a host of a rollout
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Keeps the results of a host for M(hosting.alembic.rollout_batches), M(hosting.alembic.rollout_gate) and
    M(hosting.alembic.rollout_summary), which read them once for the whole batch.
  - Runs on the controller only; no connection is made.
options:
  part:
    description: What has ended, the plan of the host, its turn, the soak after it, or its rollback.
    type: str
    choices: [looked, ended, soaked, led_back]
    required: true
  packed:
    description: Result of M(hosting.alembic.preflight).
    type: dict
    default: {}
  plan:
    description: Result of M(hosting.alembic.plan_info).
    type: dict
    default: {}
  upgrade:
    description: Result of M(hosting.alembic.upgrade).
    type: dict
    default: {}
  downgrade:
    description: Result of M(hosting.alembic.downgrade).
    type: dict
    default: {}
  rollback:
    description: Result of M(hosting.alembic.rollback).
    type: dict
    default: {}
  failure:
    description: What the host failed with, where a failure was rescued.
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
  - module: hosting.alembic.rollout_batches
  - module: hosting.alembic.rollout_gate
  - module: hosting.alembic.rollout_summary
"""

EXAMPLES = r"""
- name: Record the failure
  hosting.alembic.rollout_record:
    part: ended
    upgrade: "{{ upgrade }}"
    failure: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
looked:
  description: Whether nothing has failed.
  returned: always
  type: bool
has_turn:
  description: >-
    Whether the host has its turn in its batch, because nothing has failed, or because it could not be reached and may
    be by then.
  returned: always
  type: bool
"""
