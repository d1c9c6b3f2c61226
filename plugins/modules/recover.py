#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recover
short_description: Recover interrupted runs
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Reads for each database what the last run left. What still runs is followed to its end.
  - What was interrupted is compared with its journal and reverted by the release that it worked with, once no backend
    of it works in the database any more. What cannot be reverted is held, with the ways out in the result.
  - What was verified, or had not begun, is only noted. An unfinished backup is removed.
  - A database that another run holds is waited for; who holds its lock decides.
  - The copies that killed rehearsals have left are dropped.
  - Does nothing where nothing was interrupted.
extends_documentation_fragment:
  - hosting.alembic.options.release
  - hosting.alembic.options.run
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
options: {}
seealso:
  - module: hosting.alembic.status_info
  - module: hosting.alembic.upgrade
  - module: hosting.alembic.maintenance
"""

EXAMPLES = r"""
- name: Recover
  hosting.alembic.recover:
    root: /var/lib/hosting-alembic
    run: 20261122T030000Z-5f3a9c
    databases:
      - name: shop
        url: postgresql://shop@db.example.net/shop
        password: "{{ vault_shop_password }}"
"""

RETURN = r"""
databases:
  description: One result for each database with an interrupted run.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The database.
      type: str
    outcome:
      description: V(upgraded) if the run had ended, V(downgraded), V(restored), V(untouched) if it is as
        before, V(held), V(cleared) if it was held and goes on, V(refused) or V(failed) if it could not be recovered
        now; V(pruned) if nothing but copies of rehearsals was left, and they are gone.
      type: str
    changed:
      description: Whether anything was undone or restored.
      type: bool
    of_run:
      description: The run that had left it.
      type: str
    dropped:
      description: The copies of rehearsals that were dropped, where nothing else was left.
      type: list
      elements: str
    before:
      description: Its heads.
      type: list
      elements: str
    after:
      description: Its heads, read from the database.
      type: list
      elements: str
    error:
      description: Why it is held or could not be recovered; what, why and the remedy.
      type: dict
    ways_out:
      description: >-
        Commands that lead out of a held state, C(forward) and C(back). C(back_by_user) brings the old state of
        a MariaDB database back with the rights that its user has.
      type: dict
strangers:
  description: Interrupted runs whose databases are not in the inventory. They are not touched.
  returned: always
  type: list
  elements: str
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
    answer_by_code("recover", argument_specs.run())


if __name__ == "__main__":
    main()
