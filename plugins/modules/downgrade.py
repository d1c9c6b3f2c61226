#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: downgrade
short_description: Undo what this run committed to databases whose upgrade failed
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Replays the revisions that this run committed, in reverse, and compares heads and schema with those before.
  - Where a failed revision left something behind, or tables, columns or rows are gone, the backup is restored if no
    one else has written since, and what it replaces is kept. O(on_failure) limits that.
  - What cannot be reverted is held, with the ways out in the result. Nothing is dropped.
  - Databases whose upgrade succeeded are left alone, unless O(rejected) gives a reason to revert them.
extends_documentation_fragment:
  - hosting.alembic.options.release
  - hosting.alembic.options.run
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
options:
  rejected:
    description: Why verified upgrades are reverted all the same, for example a health check that failed.
    type: str
    default: ""
seealso:
  - module: hosting.alembic.upgrade
  - module: hosting.alembic.restore
  - module: hosting.alembic.rollback
"""

EXAMPLES = r"""
- name: Downgrade
  hosting.alembic.downgrade:
    root: /var/lib/hosting-alembic
    run: 20261122T030000Z-5f3a9c
    databases:
      - name: shop
        url: postgresql://shop@db.example.net/shop
        password: "{{ vault_shop_password }}"
"""

RETURN = r"""
databases:
  description: One result for each database that was worked on.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The database.
      type: str
    outcome:
      description: V(downgraded), V(untouched) if the upgrade had committed nothing, V(restored), V(held),
        or V(failed) if its process died.
      type: str
    changed:
      description: Whether anything was undone or restored.
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
    upgrade_error:
      description: What had failed.
      type: dict
    error:
      description: Why it is held.
      type: dict
    retained:
      description: Where the replaced database is if it was restored, a file, a database or a schema.
      type: str
    method:
      description: How it was restored, V(file), V(swap) or V(in_place).
      type: str
    not_restored:
      description: What a restore by this method cannot bring back, in words.
      type: list
      elements: str
    notes:
      description:
        - What a person should know, in words. Tables whose rows the downgrade may have left as the run changed them.
        - Rows that others may have written into what the run had made, and the backup that they are in.
      type: list
      elements: str
    elsewhere:
      description: Other databases that the run has written to, or may have, in words. They are in no backup of it.
      type: list
      elements: str
    reason:
      description: Why it was restored and not downgraded.
      type: str
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
    answer_by_code("downgrade", argument_specs.downgrade())


if __name__ == "__main__":
    main()
