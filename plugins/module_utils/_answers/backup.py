# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup: it starts a worker and follows it."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._discovery.query import query_source
from .._module.databases import use_databases
from .._module.verb import delegate_verb, follow, foretell
from .._release.by_application import answer_by_release, group_by_release


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    use_databases(module, query_source, begins=True)
    groups = group_by_release(module.params)
    if module.check_mode:
        foretell(module, answer_by_release(groups, lambda group: delegate_verb("foresee_backup", group))["results"])
    follow(module, "backup", groups)
