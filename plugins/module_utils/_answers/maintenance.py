# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module maintenance: it stops what uses the databases, and starts it again."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._application.maintenance import begin, build_diff, end
from .._module.databases import use_databases
from .._module.result import leave


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    use_databases(module)
    change = begin if module.params["state"] == "begun" else end
    answer = change(module.params, check=module.check_mode)
    leave(module, diff=build_diff(module.params["state"], answer["done"]), **answer)
