# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module rehearse: it tries pending upgrades on copies."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._discovery.query import query_source
from .._module.databases import use_databases
from .._module.result import leave
from .._module.verb import exit_with_foreseen_rehearsal, follow
from .._release.by_application import group_by_release


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    use_databases(module, query_source, begins=True)
    planned = module.params["planned"]
    if module.check_mode:
        exit_with_foreseen_rehearsal(module, planned)
    options = dict(module.params)
    if planned is not None:
        names = {entry["name"] for entry in planned if entry["pending"] or entry["obstacles"]}
        options["databases"] = [entry for entry in options["databases"] if entry["name"] in names]
    if not options["databases"]:
        leave(module, changed=False, databases=[], finished=True, lines=[], cursor={})
    follow(module, "rehearse", group_by_release(options))
