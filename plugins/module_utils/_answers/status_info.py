# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module status_info: the revision and the runs of each database."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._application.maintenance_record import read_maintenance
from .._discovery.query import query_source
from .._journal.history import list_runs
from .._module.databases import describe_progress, exclude_done, use_databases
from .._module.result import leave, read_options
from .._module.status import list_statuses


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    use_databases(module, query_source, unfinished=True)
    options = exclude_done(read_options(module))
    databases = list_statuses(options, named=bool(module.params["release"]))
    leave(
        module,
        changed=False,
        release=options["release"],
        runs=list_runs(options["root"]),
        databases=databases,
        maintenance=read_maintenance(options["root"]),
        **describe_progress(options, databases),
    )
