# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backups_info: the backups of each database, as they are on the host."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._backup.listing import list_backups
from .._module.result import leave
from .._module.stored_databases import select_names


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    names = select_names(module.params["databases"], module.params)
    leave(module, changed=False, databases=list_backups(module.params["root"], names))
