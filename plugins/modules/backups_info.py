#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backups_info
short_description: List the backups of each database
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Lists the backups that lie on the host, the newest first, with what each states of itself and whether its files are
    there.
  - Opens files for reading only, takes no lock, and connects to no database. Needs no virtualenv.
  - What cannot be read is null, with the reason in RV(databases[].backups[].problem). It does not fail the module.
extends_documentation_fragment:
  - hosting.alembic.options.discovery_of_names
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
  root:
    description: The folder on the host that holds releases, virtualenvs, backups and journals.
    type: path
    required: true
  databases:
    description: The names of the databases.
    type: list
    elements: str
    required: true
seealso:
  - module: hosting.alembic.backup
  - module: hosting.alembic.restore
  - module: hosting.alembic.status_info
"""

EXAMPLES = r"""
- name: List the backups
  hosting.alembic.backups_info:
    root: /var/lib/hosting-alembic
    databases: [shop]
  register: listed

- name: Fail where the newest backup of a database is older than a day
  ansible.builtin.assert:
    that: item.backups and item.backups[0].age < 86400
  loop: "{{ listed.databases }}"
"""

RETURN = r"""
databases:
  description: One entry for each database.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The database.
      type: str
    backups:
      description: Its backups, the newest first, at most 200; null where their folder cannot be read.
      type: list
      elements: dict
      contains:
        run:
          description: The run that took it, which is also the name of its folder.
          type: str
        path:
          description: Its folder on the host.
          type: str
        taken:
          description: When it was taken, in UTC; null if unknown, as everything below.
          type: str
        age:
          description: How many seconds ago that was.
          type: int
        size:
          description: The bytes of its files on the disk; its manifest is not counted.
          type: int
        revision:
          description: The heads that the database had; empty for base.
          type: list
          elements: str
        engine:
          description: The database's engine.
          type: str
        proven:
          description:
            - Whether it has a manifest, which a backup gets once it was proven readable, and its files are there with
              the sizes that the manifest names.
            - The content of its files is compared by M(hosting.alembic.restore), before it replaces anything.
          type: bool
        sealed:
          description: Whether it is encrypted.
          type: bool
        copies:
          description: Where copies of it are off the host, each with the time at which it was made.
          type: dict
        problem:
          description: What could not be read, or is damaged; code, what, why and the remedy.
          type: dict
    more:
      description: How many older backups are not listed.
      type: int
    problem:
      description: Why its folder could not be read; code, what, why and the remedy.
      type: dict
error:
  description: What was refused; what, why and the remedy.
  returned: failure
  type: dict
"""

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._module.code import answer_by_code


def main() -> None:
    answer_by_code("backups_info", argument_specs.build_backups())


if __name__ == "__main__":
    main()
