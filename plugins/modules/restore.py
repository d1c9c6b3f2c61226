#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Restore databases from a backup
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Restores the backup of a run, a backup by its path, or the newest backup of databases that are named.
  - The backup is compared with its manifest first, and the database with the backup's schema and rows afterwards.
  - What is replaced is kept, as a file, a database or a schema, and named in the result.
  - A backup that no host of the play has is a failure where all were called with O(names_only) first, as the role does.
  - Check mode finds out what would be refused, but for what others write until the restore.
  - Refused where others have written since the backup, or where that is unknown, unless O(restore_loses_writes).
extends_documentation_fragment:
  - hosting.alembic.options.release
  - hosting.alembic.options.run
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
options:
  of_run:
    description: The run whose backups are brought back. Databases without a backup of it are left alone.
    type: str
    default: ""
  backup:
    description: The path of one backup on the host.
    type: str
    default: ""
  only:
    description: The names of the databases to restore; by default all that have such a backup.
    type: list
    elements: str
    default: []
  names_only:
    description:
      - Only list which databases have such a backup, and change nothing.
      - Check mode also finds whether each restore would be refused.
    type: bool
    default: false
seealso:
  - module: hosting.alembic.backup
  - module: hosting.alembic.rollback
  - module: hosting.alembic.prune
"""

EXAMPLES = r"""
- name: Restore one database to its state before a run
  hosting.alembic.restore:
    root: /var/lib/hosting-alembic
    run: 20261122T034500Z-91d4f2
    of_run: 20261122T030000Z-5f3a9c
    only: [shop]
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
      description: V(restored), V(refused) or V(failed). Unless it is V(restored), the database is as it was.
      type: str
    changed:
      description: Whether it was replaced.
      type: bool
    of_run:
      description: The run that took the backup.
      type: str
    before:
      description: Its heads.
      type: list
      elements: str
    after:
      description: Its heads, read from the database.
      type: list
      elements: str
    backup:
      description: The manifest of the backup.
      type: dict
    retained:
      description: Where the replaced database is, a file, a database or a schema.
      type: str
    method:
      description: V(file), V(swap) or V(in_place).
      type: str
    not_restored:
      description: What this method cannot bring back, in words.
      type: list
      elements: str
    error:
      description: Why it was refused or failed.
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
    answer_by_code("restore", argument_specs.restore())


if __name__ == "__main__":
    main()
