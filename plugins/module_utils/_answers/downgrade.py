# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module downgrade: it undoes what this run has committed."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._module.databases import use_databases
from .._module.verb import follow, foresee
from .._release.by_application import group_by_release_of_this_run


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    use_databases(module)
    if module.check_mode:  # a predicted upgrade has committed nothing
        foresee(module, "downgraded", [])
    follow(module, "downgrade", group_by_release_of_this_run(module.params))
