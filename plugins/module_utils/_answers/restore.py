# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module restore: it chooses backups, and a worker restores them."""

from __future__ import annotations

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._backup.choose import list_backed_up
from .._core.errors import Refused
from .._module.databases import use_databases
from .._module.verb import delegate_verb, follow, foresee, foretell
from .._release.by_application import answer_by_release, group_by_release


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    use_databases(module, of_runs=[module.params["of_run"]])
    options = dict(module.params)
    if not (options["of_run"] or options["backup"] or options["only"]):
        raise Refused(
            "No backup to restore was named",
            "every database of the host would be replaced by its newest backup",
            "Set migrate_restore_run, migrate_restore_backup or migrate_restore_databases",
            code="backup-not-named",
        )
    names = list_backed_up(options["root"], options["databases"], options["of_run"], options["backup"], options["only"])
    if options["names_only"] or not names:
        foresee(module, "restored", names)
    options["databases"] = [entry for entry in options["databases"] if entry["name"] in names]
    groups = group_by_release(options)
    if module.check_mode:
        answer = answer_by_release(groups, lambda group: delegate_verb("foresee_restore", group))
        foretell(module, answer["results"])
    follow(module, "restore", groups)
