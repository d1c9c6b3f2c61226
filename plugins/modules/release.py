#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Install one version of a migrations directory with its virtualenv
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Unpacks a release that M(hosting.alembic.preflight) has packed, and makes the virtualenv that it requires.
  - A release appears whole or not at all. Virtualenvs are shared by what is installed in them, and used once complete.
  - The archive is sent only to hosts that need it.
  - Removes old releases, but neither the current one nor one that a revert needs.
extends_documentation_fragment:
  - hosting.alembic.options.discovery_of_names
  - hosting.alembic.options.installation
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
options:
  root:
    description: The folder on the host that holds releases, virtualenvs, backups and journals.
    type: path
    required: true
  names:
    description: The databases that are migrated with it. Their status and their backups work with it from then on.
    type: list
    elements: str
    default: []
  keep:
    description: How many releases are kept.
    type: int
    default: 5
  archive:
    description: The packed directory. On the controller for the task; the action plugin sends it.
    type: path
  wheelhouse_archive:
    description: The packed wheels. On the controller for the task; the action plugin sends them.
    type: path
attributes:
  check_mode:
    support: full
    description: Predicts whether the release would be installed.
  diff_mode:
    support: full
    description: Shows the current release before and after.
seealso:
  - module: hosting.alembic.preflight
  - module: hosting.alembic.plan_info
"""

EXAMPLES = r"""
- name: Ship what was packed
  hosting.alembic.release:
    root: /var/lib/hosting-alembic
    release: "{{ packed.release }}"
    content: "{{ packed.installation.content }}"
    requirements: "{{ packed.installation.requirements }}"
    archive: "{{ packed.archive }}"
"""

RETURN = r"""
needs:
  description: What the host had to be sent.
  returned: always
  type: list
  elements: str
release:
  description: Digest of the release.
  returned: always
  type: str
path:
  description: Where it is on the host.
  returned: always
  type: str
virtualenv:
  description: The virtualenv it uses.
  returned: always
  type: str
pruned:
  description: Releases that were removed.
  returned: always
  type: list
  elements: str
error:
  description: What was refused; what, why and the remedy.
  returned: failure
  type: dict
"""

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._module.code import answer_by_code


def main() -> None:
    answer_by_code("release", argument_specs.build_shipping(), makes_root=True)


if __name__ == "__main__":
    main()
