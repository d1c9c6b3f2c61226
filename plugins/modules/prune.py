#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prune
short_description: List the retained copies of each database, and drop old ones
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Lists what restores have replaced (databases, schemas, files), and unfinished backups.
  - Drops nothing unless O(prune) is true, and then only what is older than O(prune_days).
  - Never drops anything of a database that is not there, that is held, or whose failed run was not recovered.
  - Proven backups are not its matter; O(hosting.alembic.backup#module:backup_keep) is.
extends_documentation_fragment:
  - hosting.alembic.options.release
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
attributes:
  check_mode:
    support: full
    description: Lists what would be dropped, and drops nothing.
  diff_mode:
    support: full
    description: Shows the retained copies before and after.
options:
  prune:
    description: Whether to drop what is old enough.
    type: bool
    default: false
  prune_days:
    description: How many days a retained copy is kept before it is dropped.
    type: float
    default: 30
seealso:
  - module: hosting.alembic.restore
  - module: hosting.alembic.status_info
"""

EXAMPLES = r"""
- name: Drop retained copies older than two months
  hosting.alembic.prune:
    root: /var/lib/hosting-alembic
    prune: true
    prune_days: 60
    databases:
      - name: shop
        url: postgresql://shop@db.example.net/shop
        password: "{{ vault_shop_password }}"
"""

RETURN = r"""
databases:
  description: One result for each database.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The database.
      type: str
    outcome:
      description: V(unchanged), V(pruned), V(refused) or V(failed).
      type: str
    changed:
      description: Whether anything was dropped, or would be in check mode.
      type: bool
    leftovers:
      description: >-
        The retained copies. Each has its kind (V(retained), V(partial), V(scratch), V(unproven), V(unreadable)), name,
        run, when it was made, size in bytes, age in days, the outcome (V(kept), V(dropped), V(would be dropped)) and
        why it was kept.
      type: list
      elements: dict
    error:
      description: Why it was refused; what, why and the remedy.
      type: dict
error:
  description: What was refused as a whole; what, why and the remedy.
  returned: failure
  type: dict
"""

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._module.code import answer_by_code


def main() -> None:
    answer_by_code("prune", argument_specs.prune())


if __name__ == "__main__":
    main()
