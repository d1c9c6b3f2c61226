#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_id
short_description: Name the run, on the controller
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - All hosts of one C(ansible-playbook) get the same run id.
  - The role's variables are compared with their description, in one line for each that is wrong.
  - M(hosting.alembic.preflight) does the same for a run that ships a release.
options:
  run:
    description: The run id; made from the time if it is empty.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Never changes anything.
  diff_mode:
    support: none
    description: Changes nothing.
seealso:
  - module: hosting.alembic.preflight
"""

EXAMPLES = r"""
- name: Name the run
  hosting.alembic.run_id:
  register: named
"""

RETURN = r"""
run:
  description: The run id.
  returned: success
  type: str
  sample: 20261122T030000Z-5f3a9c
"""
