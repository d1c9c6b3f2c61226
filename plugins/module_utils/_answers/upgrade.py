# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module upgrade: it starts a worker and follows it, or predicts its outcome."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._discovery.query import query_source
from .._module.databases import use_databases
from .._module.verb import follow, predict
from .._release.by_application import group_by_release, refuse_canary_of_several


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    use_databases(module, query_source, begins=True, unfinished=True)
    # One that is planned to be made has no instance yet.
    module.params["existed"] = [plan["name"] for plan in module.params["planned"] or [] if plan.get("instance")]
    groups = group_by_release(module.params)
    refuse_canary_of_several(groups)
    if module.check_mode:
        predict(module, groups)
    follow(module, "upgrade", groups)
