#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_info
short_description: Plan the Alembic upgrade of each database
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - For each database its heads, its target, the revisions between, and what would be refused.
  - Reads the databases, and writes into none. C(env.py) is run in a way in which Alembic changes nothing.
  - Below O(root) it keeps its own code and, where it belongs to a run, what was last seen at head.
  - Where the release is not on the host yet, it answers RV(shipped=false) and reads no database.
  - What would stop an upgrade is collected for all databases and does not fail the module.
extends_documentation_fragment:
  - hosting.alembic.options.requirement
  - hosting.alembic.options.release
  - hosting.alembic.options.parts
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
attributes:
  check_mode:
    support: full
    description: Never changes anything.
  diff_mode:
    support: none
    description: Changes nothing, so there is nothing to compare.
options:
  run:
    description:
      - The run that keeps the list of databases that were found.
      - Empty, or in check mode, nothing is kept.
    type: str
    default: ""
  recovers:
    description:
      - Whether the caller recovers interrupted runs first. Then a host with one answers
        with RV(unrecovered) alone, and no database is read.
      - Such a run leaves a record of each database that it finds at head, which makes the next plan a short one.
    type: bool
    default: false
  rehearses:
    description: Whether the plan is one to rehearse, so that a database is refused where no copy of it can be made.
    type: bool
    default: false
  on_refusal:
    description: Whether to fail where an upgrade of any database is refused.
    type: str
    choices: [skip, stop]
    default: skip
  installation:
    description:
      - What the release is and what it installs, as M(hosting.alembic.preflight) returns it.
      - In check mode, a release that is not on the host is unpacked into a temporary folder, used, and removed again,
        so that the prediction is exact. Its virtualenv is built there too, if the host has none like it.
    type: dict
    suboptions:
      release:
        description: Digest of the release, its content and what it installs.
        type: str
        required: true
      content:
        description: Digest of the directory alone; what arrives on the host is compared with it.
        type: str
        required: true
      requirements_file:
        description: The requirements file to install, below the shipped directory.
        type: str
        default: requirements.txt
      requirements:
        description: Its text and that of the files it refers to; empty if nothing is to be installed from it.
        type: str
        default: ""
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
        description: Digest of the wheels to install from in place of a package index.
        type: str
        default: ""
      python:
        description: The interpreter that makes the virtualenv.
        type: str
        default: python3
      virtualenv:
        description: A virtualenv that is on the host already, in place of building one.
        type: str
        default: ""
      from_source:
        description: Whether the source itself is a part of what is installed.
        type: bool
        default: false
  archive:
    description: The packed directory. On the controller for the task; the action plugin sends it in check mode.
    type: path
  wheelhouse_archive:
    description: The packed wheels. On the controller for the task; the action plugin sends them in check mode.
    type: path
seealso:
  - module: hosting.alembic.release
  - module: hosting.alembic.upgrade
  - module: hosting.alembic.status_info
"""

EXAMPLES = r"""
- name: Plan
  hosting.alembic.plan_info:
    root: /var/lib/hosting-alembic
    databases:
      - name: shop
        url: postgresql://shop@db.example.net/shop
        password: "{{ vault_shop_password }}"
  register: plan

- name: Show the pending revisions
  ansible.builtin.debug:
    msg: "{{ plan.databases | map(attribute='pending') }}"
"""

RETURN = r"""
finished:
  description: Whether the answer has each database. The action plugin calls again until it has.
  returned: to the action plugin
  type: bool
total:
  description: How many databases there are.
  returned: to the action plugin
  type: int
progress:
  description: What was printed meanwhile.
  returned: from the action plugin
  type: list
  elements: str
shipped:
  description: Whether the release of each database is on the host with a virtualenv that works.
  returned: always
  type: bool
release:
  description: Digest of the release that the plan was made with; empty where the databases have several.
  returned: always
  type: str
pending:
  description: Whether any database has something to apply or cannot be planned.
  returned: always
  type: bool
unrecovered:
  description:
    - Databases in which an earlier run still works or was interrupted, from the journals alone.
    - M(hosting.alembic.recover) recovers them.
  returned: always
  type: list
  elements: str
refusals:
  description: What would stop an upgrade, one line for each reason.
  returned: always
  type: list
  elements: str
databases:
  description:
    - One plan for each database, empty where no release is shipped.
    - A database whose release is not shipped, beside others whose is, has that as its obstacle.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The database.
      type: str
    engine:
      description: What kind of database it is.
      type: str
    url:
      description: Its URL without the password.
      type: str
    server:
      description: The server's version and place.
      type: str
    identity:
      description: Which database this is on which server, independent of the URL.
      type: str
    instance:
      description:
        - Distinguishes servers with the same identity, as those that were cloned from one image.
        - It changes when the server is started again. Of a file it is the number in its file system.
      type: str
    can_be_shared:
      description: Whether other hosts can have the same database; a file is its host's own.
      type: bool
    target:
      description: The target of the upgrade.
      type: str
    current:
      description: Its heads, none if no revision is applied.
      type: list
      elements: str
    heads:
      description: Its heads after the upgrade.
      type: list
      elements: str
    pending:
      description: The revisions between, in the order they would be applied.
      type: list
      elements: dict
      sample: [{"revision": "27c6a30d7c24", "message": "Add the users table"}]
    unexpanded:
      description: The revisions of C(expand@head) that are missing, where the target is on the branch C(contract).
      type: list
      elements: str
    notes:
      description: What a person has to know before the backup.
      type: list
      elements: str
    expected_seconds:
      description: What its last rehearsal or upgrade took, where a journal has it and something is pending.
      type: float
    obstacles:
      description: What would stop the upgrade; each has what, why and the remedy.
      type: list
      elements: dict
    restore:
      description:
        - How a restore would be done, where something is pending in a database that exists.
        - Its C(method), what it would not bring back in words (C(not_restored)), what else one has to know (C(notes)),
          and the C(obstacle) where none can be done; then a failure that no downgrade undoes is held.
          On MariaDB C(rights) is what an administrator types then.
      type: dict
    changed_history:
      description: >-
        Files of applied revisions that have changed or are gone, and revisions that no journal of the host knows,
        each with what, why and the remedy. With O(on_changed_history=refuse) they are obstacles too.
      type: list
      elements: dict
found:
  description: What the sources of O(discover) have, whether it was selected or not.
  returned: always
  type: list
  elements: dict
  contains:
    source:
      description: The name of the source.
      type: str
    names:
      description: The names of its databases.
      type: list
      elements: str
maintenance:
  description:
    - What is known of a maintenance that goes on, as M(hosting.alembic.maintenance) returns it; none if none does.
    - Unless C(kept_by) names a database, a run that is dead has left it, and it can be ended.
  returned: always
  type: dict
left_maintenance:
  description: Whether a maintenance goes on that a dead run has left.
  returned: always
  type: bool
error:
  description: What was refused; what, why and the remedy.
  returned: failure
  type: dict
"""

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._module.code import answer_by_code


def main() -> None:
    answer_by_code("plan_info", argument_specs.plan())


if __name__ == "__main__":
    main()
