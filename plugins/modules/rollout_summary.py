#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_summary
short_description: Summarise a rollout, and fail the hosts that did not reach their target
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - A rollout records failures and goes on; here each host fails with its own.
  - Where nothing failed, the hosts that were not begun or were rolled back fail, because they are not at their target.
  - Runs on the controller only; no connection is made.
options:
  part:
    description: Whether to print the summary, or to fail with what the host has failed with.
    type: str
    choices: [summary, failure]
    default: summary
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
  - module: hosting.alembic.rollout_gate
"""

EXAMPLES = r"""
- name: Summarise the run
  hosting.alembic.rollout_summary:
"""

RETURN = r"""
lines:
  description: The summary of the whole run, as it is printed.
  returned: O(part=summary)
  type: list
  elements: str
run:
  description: The run id.
  returned: O(part=summary)
  type: str
batches:
  description: The hosts of each batch.
  returned: O(part=summary)
  type: list
  elements: list
"""
