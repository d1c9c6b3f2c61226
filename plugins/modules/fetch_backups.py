#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fetch_backups
short_description: Hand new backups over to the controller, in parts
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - What the other modules' action plugins call after a run when O(backup_copy_to) is a directory on the controller.
  - Without O(run) it lists the backups that wait, with it it returns a part of one. Both change no database.
  - Needs no virtualenv.
extends_documentation_fragment:
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
attributes:
  check_mode:
    support: full
    description: Remembers nothing.
  diff_mode:
    support: none
    description: Changes no database.
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
  backup_copy_to:
    description: The directory on the controller, V(controller:/a/directory).
    type: str
    required: true
  backup_encrypt_to:
    description: Where this is set, only encrypted backups are handed over.
    type: str
    default: ""
  database:
    description: The database whose backup is wanted.
    type: str
    default: ""
  run:
    description: The run whose backup is wanted.
    type: str
    default: ""
  offset:
    description: Where the part begins, counted over all files of the backup one after another.
    type: int
    default: 0
  length:
    description: The bytes of the part, at the most.
    type: int
    default: 8388608
  fetched:
    description: What has arrived whole, each with its database and run, to be remembered.
    type: list
    elements: dict
    default: []
seealso:
  - module: hosting.alembic.backup
"""

EXAMPLES = r"""
- name: Which backups wait
  hosting.alembic.fetch_backups:
    root: /var/lib/hosting-alembic
    databases: [shop]
    backup_copy_to: controller:/srv/backups
"""

RETURN = r"""
waiting:
  description: The backups that were not fetched yet, the oldest first, each with its files, their sizes and sha256.
  returned: without a run
  type: list
  elements: dict
data:
  description: The part, in base64.
  returned: with a run
  type: str
error:
  description: What was refused; what, why and the remedy.
  returned: failure
  type: dict
"""

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._module.code import answer_by_code


def main() -> None:
    answer_by_code("fetch_backups", argument_specs.fetch_backups())


if __name__ == "__main__":
    main()
