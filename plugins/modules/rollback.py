#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Roll back what an earlier run has upgraded
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Undoes what an earlier run committed, revision by revision in reverse, with the release of that run.
  - Each database is backed up first, because a downgrade drops what was written since.
  - Refused where a later run or other hands have moved a database since.
extends_documentation_fragment:
  - hosting.alembic.options.release
  - hosting.alembic.options.run
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
options:
  of_run:
    description:
      - The run to roll back.
      - By default the last run that changed a database, on any host that M(hosting.alembic.status_info) has read.
    type: str
    default: ""
  only:
    description:
      - The names of the databases to roll back, also one that the run has left held.
      - By default all that the run has upgraded.
    type: list
    elements: str
    default: []
seealso:
  - module: hosting.alembic.restore
  - module: hosting.alembic.upgrade
"""

EXAMPLES = r"""
- name: Roll the last run back
  hosting.alembic.rollback:
    root: /var/lib/hosting-alembic
    run: 20261122T034500Z-91d4f2
    of_run: 20261122T030000Z-5f3a9c
    databases:
      - name: shop
        url: postgresql://shop@db.example.net/shop
        password: "{{ vault_shop_password }}"
"""

RETURN = r"""
of_run:
  description: The run whose changes were undone.
  returned: always
  type: str
databases:
  description: One result for each database that the run had upgraded.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The database.
      type: str
    outcome:
      description: V(downgraded), V(refused), V(held), or V(failed) if its process died.
      type: str
    changed:
      description: Whether anything was undone.
      type: bool
    of_run:
      description: The run whose changes were undone.
      type: str
    before:
      description: Its heads.
      type: list
      elements: str
    after:
      description: Its heads, read from the database.
      type: list
      elements: str
    undone:
      description: The revisions that were downgraded.
      type: list
      elements: dict
    backup:
      description: The manifest of the backup that was taken first.
      type: dict
    notes:
      description: Rows that others may have written into what the run had made, and the backup that they are in.
      type: list
      elements: str
    error:
      description: Why it was refused or is held.
      type: dict
    ways_out:
      description: >-
        Commands that lead out of a held state, C(forward) and C(back). C(back_by_user) brings the old state of
        a MariaDB database back with the rights that its user has.
      type: dict
    seconds:
      description: How long it took.
      type: float
error:
  description: What was refused as a whole, before any database; what, why and the remedy.
  returned: failure
  type: dict
finished:
  description: Whether the work has ended. The action plugin calls again until it has.
  returned: to the action plugin
  type: bool
progress:
  description: What was printed meanwhile.
  returned: from the action plugin
  type: list
  elements: str
lines:
  description: What has happened since the last call, for people.
  returned: to the action plugin
  type: list
  elements: str
cursor:
  description: What to hand to the next call.
  returned: to the action plugin
  type: dict
"""

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._module.code import answer_by_code


def main() -> None:
    answer_by_code("rollback", argument_specs.build_rollback())


if __name__ == "__main__":
    main()
