#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade
short_description: Back up and upgrade each database with Alembic, and verify it
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - For each database takes its lock, plans again, backs it up, runs Alembic and reads back its revisions.
  - The backup is taken under the same lock right before the upgrade, so that little can be written in between.
  - The work is done by a worker on the host that outlives the connection. A call with the same run attaches to it.
  - A database that fails does not stop the others. The module fails in the end if any did.
  - What a failed database committed is undone by M(hosting.alembic.downgrade).
extends_documentation_fragment:
  - hosting.alembic.options.requirement
  - hosting.alembic.options.release
  - hosting.alembic.options.run
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
options:
  verify_only:
    description: Names of databases that another host migrates; here they are only verified.
    type: list
    elements: str
    default: []
  canary:
    description: Name of a database that goes before the others. If it fails, they are refused and not begun.
    type: str
    default: ""
  planned:
    description:
      - RV(hosting.alembic.plan_info#module:databases) of a plan that was just made.
      - Check mode predicts from it; without it the databases are read again.
    type: list
    elements: dict
  deadline:
    description:
      - When everything must have ended, in UTC by the controller's clock; what still runs then is cancelled.
      - The host's clock may differ, so the action plugin hands over O(time_left), and the host counts from there.
    type: str
    default: ""
  time_left:
    description: Seconds until O(deadline). Without it there is none.
    type: float
  window_margin:
    description: Seconds that have to be left for a database to be begun, unless a journal has the time of its last run.
    type: float
    default: 300
  window_override:
    description: Why no window binds this run, for the journal.
    type: str
    default: ""
seealso:
  - module: hosting.alembic.plan_info
  - module: hosting.alembic.backup
  - module: hosting.alembic.downgrade
  - module: hosting.alembic.restore
"""

EXAMPLES = r"""
- name: Upgrade
  hosting.alembic.upgrade:
    root: /var/lib/hosting-alembic
    run: 20261122T030000Z-5f3a9c
    databases:
      - name: shop
        url: postgresql://shop@db.example.net/shop
        password: "{{ vault_shop_password }}"
"""

RETURN = r"""
databases:
  description: One result for each database that was worked on.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The database.
      type: str
    outcome:
      description:
        V(upgraded), V(unchanged), V(refused) if nothing was tried, V(deferred) if nothing was done
        because too little was left of the window, or V(failed).
      type: str
    changed:
      description: Whether anything was committed to it.
      type: bool
    identity:
      description: Which database this is on which server, independent of the URL.
      type: str
    target:
      description: The target of the upgrade.
      type: str
    before:
      description: Its heads.
      type: list
      elements: str
    after:
      description: Its heads, read from the database.
      type: list
      elements: str
    applied:
      description: The revisions that were committed, each with its message and its seconds.
      type: list
      elements: dict
    backup:
      description: The manifest of its backup without the long lists; none if nothing was to be applied.
      type: dict
    lost_rows:
      description: Tables that have fewer rows than before, as V([before, after]).
      type: dict
    error:
      description: What failed; what, why and the remedy.
      type: dict
    notes:
      description:
        What a person has to know, such as revisions that were applied while the run worked and not by it.
      type: list
      elements: str
    seconds:
      description: How long it took.
      type: float
error:
  description: What was refused as a whole, before any database; what, why and the remedy.
  returned: failure
  type: dict
finished:
  description: Whether the work has ended. The action plugin calls again until it has.
  returned: to the action plugin
  type: bool
progress:
  description: What was printed meanwhile.
  returned: from the action plugin
  type: list
  elements: str
lines:
  description: What has happened since the last call, for people.
  returned: to the action plugin
  type: list
  elements: str
cursor:
  description: What to hand to the next call.
  returned: to the action plugin
  type: dict
"""

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._module.code import answer_by_code


def main() -> None:
    answer_by_code("upgrade", argument_specs.upgrade())


if __name__ == "__main__":
    main()
