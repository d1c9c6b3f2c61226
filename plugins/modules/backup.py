#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back each database up and prove the backup
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Writes a dump and a manifest beside, reads it back, and renames it into place once it is proven.
  - PostgreSQL is dumped by C(pg_dump) in directory format, SQLite copied by its online backup API.
  - Old backups are removed by number and age, never the newest nor one that a revert needs.
extends_documentation_fragment:
  - hosting.alembic.options.release
  - hosting.alembic.options.run
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
options: {}
seealso:
  - module: hosting.alembic.restore
  - module: hosting.alembic.prune
  - module: hosting.alembic.upgrade
"""

EXAMPLES = r"""
- name: Backup
  hosting.alembic.backup:
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
      description: V(backed_up), V(refused) or V(failed).
      type: str
    changed:
      description: Whether a backup was taken.
      type: bool
    before:
      description: Its heads.
      type: list
      elements: str
    after:
      description: Its heads, read from the database.
      type: list
      elements: str
    backup:
      description: The manifest without the long lists.
      type: dict
    restore:
      description:
        - How this backup would be restored with the rights that there are now.
        - Its C(method), what it would not bring back in words (C(not_restored)), what else one has to know (C(notes)),
          and the C(obstacle) where no restore can be done.
          On MariaDB C(rights) is what an administrator types then.
      type: dict
    error:
      description: What failed; what, why and the remedy.
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
    answer_by_code("backup", argument_specs.run())


if __name__ == "__main__":
    main()
