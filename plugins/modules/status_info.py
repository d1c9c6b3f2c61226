#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: status_info
short_description: Read the revision and the last run of each database
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - For each database its revision, what is pending in the host's current release, its last run and its last backup.
  - Reads the databases, and writes into none. Below O(root) it keeps its own code.
  - What cannot be read is named in RV(databases[].problems) and does not fail the module.
extends_documentation_fragment:
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
  retained_days:
    description: After how many days what a restore replaced counts as old.
    type: float
    default: 14
seealso:
  - module: hosting.alembic.backups_info
  - module: hosting.alembic.plan_info
  - module: hosting.alembic.recover
"""

EXAMPLES = r"""
- name: Status
  hosting.alembic.status_info:
    root: /var/lib/hosting-alembic
    databases:
      - name: shop
        url: postgresql://shop@db.example.net/shop
        password: "{{ vault_shop_password }}"
  register: status
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
release:
  description: Digest of the host's current release, empty if nothing was shipped yet.
  returned: always
  type: str
runs:
  description: The ids of the runs that the host's journals know.
  returned: always
  type: list
  elements: str
databases:
  description: One status for each database.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The database.
      type: str
    server:
      description: The server's version and place.
      type: str
    current:
      description: Its heads.
      type: list
      elements: str
    pending:
      description: The revisions of the current release that are not applied.
      type: list
      elements: dict
    problems:
      description: What could not be read, or would stop an upgrade.
      type: list
      elements: dict
    changed_history:
      description: >-
        Files of applied revisions that have changed or are gone, and revisions that no journal of the host knows,
        each with what, why and the remedy.
      type: list
      elements: dict
    retained:
      description: What restores have replaced, with its run, its size, its age in days, and whether that is old.
      type: list
      elements: dict
    last_run:
      description: The last run that touched it, with its time, its outcome, how it moved the database, and its error.
      type: dict
    last_change:
      description: The last run that upgraded it.
      type: dict
    last_backup:
      description: The manifest of its newest proven backup, without the long lists, and where copies of it are.
      type: dict
    backup_problems:
      description: Where the newest backup should have been copied to and was not; what, why and the remedy.
      type: list
      elements: dict
    backups:
      description: Its backups, as M(hosting.alembic.backups_info) lists them; null where their folder cannot be read.
      type: list
      elements: dict
maintenance:
  description:
    - What is known of a maintenance that goes on, as M(hosting.alembic.maintenance) returns it; none if none does.
    - Unless C(kept_by) names a database, a run that is dead has left it, and it can be ended.
  returned: always
  type: dict
error:
  description: What was refused; what, why and the remedy.
  returned: failure
  type: dict
"""

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._module.code import answer_by_code


def main() -> None:
    answer_by_code("status_info", argument_specs.build_status())


if __name__ == "__main__":
    main()
