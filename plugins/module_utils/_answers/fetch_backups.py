# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module fetch_backups: the backups that wait to be fetched, or a part of one."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._backup.fetch import list_waiting, read_part, remember
from .._module.result import leave


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    if module.params["run"]:
        leave(module, changed=False, data=read_part(module.params))
    if not module.check_mode:
        remember(module.params)
    leave(module, changed=False, waiting=list_waiting(module.params))
