# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module release: it installs a release and its virtualenv, or returns what it needs for that."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._core.paths import Layout
from .._core.writable import refuse_if_root_cannot_be_written
from .._module.result import leave
from .._module.stored_databases import select_names
from .._release.install import Installation, Installer, collect_facts, prune
from .._release.lookup import note_current, read_current_release


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    options = module.params
    layout = Layout(Path(options["root"]))
    refuse_if_root_cannot_be_written(layout.root)
    wanted = Installation.from_options(options)
    installer = Installer(layout, wanted)
    names = select_names(options["names"], options)
    before = read_current_release(options["root"])
    needs = installer.needs()
    changed = not (installer.is_installed() and installer.is_current())
    sent = {name for name, path in (("archive", "archive"), ("wheelhouse", "wheelhouse_archive")) if options[path]}
    complete = set(needs) <= sent
    pruned = []
    if changed and complete and not module.check_mode:
        installer.install(options["archive"] or "", options["wheelhouse_archive"] or "")
        installer.make_current()
        note_current(options["root"], wanted.release, names)
        pruned = prune(layout, options["keep"])
    elif not changed and not module.check_mode:
        note_current(options["root"], wanted.release, names)  # a database may have come since
    leave(
        module,
        changed=changed,
        needs=needs,
        pruned=pruned,
        diff={"before": f"{before or 'none'}\n", "after": f"{wanted.release}\n"},
        **collect_facts(installer),
    )
