#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_record
short_description: Record what a host of a rollout failed with
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Keeps the failure of a host for M(hosting.alembic.rollout_gate) and M(hosting.alembic.rollout_summary), which read
    it with the results of the verbs once for the whole batch.
  - Runs on the controller only; no connection is made.
options:
  part:
    description: What has ended, the plan of the host, its turn, the soak after it, or its rollback.
    type: str
    choices: [planned, ended, soaked, rolled_back]
    required: true
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
  - module: hosting.alembic.rollout_gate
  - module: hosting.alembic.rollout_summary
"""

EXAMPLES = r"""
- name: Record the failure
  hosting.alembic.rollout_record:
    part: ended
    failure: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
part:
  description: What was recorded.
  returned: always
  type: str
"""
