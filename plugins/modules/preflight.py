#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check the variables, pack the migrations and name the run, all on the controller
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Checks everything that can be checked without a host, and shows all that is wrong at once.
  - Packs the migrations directory once for all hosts of a run, the same bytes for the same content.
  - Names the run. All hosts of one C(ansible-playbook) get the same run id.
  - Runs on the controller only; no connection is made.
options:
  source:
    description: The migrations directory on the controller, a script directory or a project folder.
    type: path
    required: true
  databases:
    description: The databases, as the other modules take them.
    type: list
    elements: raw
    default: []
  discover:
    description: The sources of databases, as the other modules take them.
    type: list
    elements: raw
    default: []
  select:
    description: Names or patterns of the databases to work on; what no host of the play has is refused.
    type: list
    elements: str
    default: []
  run:
    description: The run id; made from the time if it is empty.
    type: str
    default: ""
  requirements:
    description: A requirements file below O(source), used if it exists.
    type: str
    default: requirements.txt
  packages:
    description: Requirement specifiers to install besides.
    type: list
    elements: str
    default: []
  pip_arguments:
    description: Further arguments of C(pip install).
    type: list
    elements: str
    default: []
  wheelhouse:
    description: A directory of wheels on the controller, for hosts without a package index.
    type: str
    default: ""
  exclude:
    description:
      - What is not shipped besides what never is. Patterns as in a C(.gitignore), the last one that matches decides.
      - V(!name) ships what would be left out.
    type: list
    elements: str
    default: []
  alembic_options:
    description: Options of Alembic's configuration; C(script_location) is where C(env.py) is.
    type: dict
    default: {}
  python:
    description: The interpreter that makes the virtualenv on the hosts.
    type: str
    default: python3
  virtualenv:
    description: A virtualenv that is on the hosts already.
    type: str
    default: ""
  root:
    description: The folder on the hosts that holds everything; only its type is checked here, as of those below.
    type: path
    default: ""
  target:
    description: What to upgrade to.
    type: str
    default: head
  setup:
    description: What prepares the process before C(env.py) runs.
    type: str
    default: ""
  pg_bin:
    description: Folder of C(pg_dump) and C(pg_restore) on the hosts.
    type: str
    default: ""
  windows:
    description: The maintenance windows, as the role's C(migrate_windows) describes them.
    type: list
    elements: dict
    default: []
  window_required:
    description: Whether there must be a window.
    type: bool
    default: false
  window_override:
    description: Why this run may start and last at any time.
    type: str
    default: ""
  services:
    description: The services, as M(hosting.alembic.maintenance) takes them.
    type: list
    elements: raw
    default: []
  health_checks:
    description: The checks, as M(hosting.alembic.health) takes them.
    type: list
    elements: dict
    default: []
  keep_window:
    description:
      - Whether the run is refused unless a window is open or O(window_override) gives a reason.
      - In check mode nothing is changed, and no window needed.
    type: bool
    default: false
  rollout:
    description:
      - What makes this the beginning of a rollout, whose batches P(hosting.alembic.rollout#lookup) makes. Its keys are
        C(run), C(target), C(rollout), C(canary), C(max_failures), C(on_failure), C(manifests) and C(fleet).
    type: dict
    default: {}
  manifests:
    description:
      - Folder of the manifests on the controller. They show whether a run of this id has begun the host before.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Packs as always, because nothing outside of Ansible's own temporary folder is written.
  diff_mode:
    support: none
    description: Changes nothing.
seealso:
  - module: hosting.alembic.release
  - module: hosting.alembic.run_id
"""

EXAMPLES = r"""
- name: Refuse what cannot work
  hosting.alembic.preflight:
    source: migrations
    databases: "{{ migrate_databases }}"
  register: packed
"""

RETURN = r"""
run:
  description: The run id.
  returned: success
  type: str
  sample: 20261122T030000Z-5f3a9c
release:
  description: Digest of the directory and of what it installs.
  returned: success
  type: str
archive:
  description: The packed directory on the controller.
  returned: success
  type: str
installation:
  description: What the release is and what it installs, as M(hosting.alembic.release) takes it.
  returned: success
  type: dict
wheelhouse_archive:
  description: The packed wheels on the controller, empty if there are none.
  returned: success
  type: str
window:
  description:
    - What the windows allow. C(deadline) is the time in UTC by the controller's clock at which everything must have
      ended, C(override) why no window binds this run; both may be empty.
  returned: success
  type: dict
problems:
  description: All that was refused.
  returned: failure
  type: list
  elements: str
"""
