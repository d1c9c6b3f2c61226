#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance
short_description: Stop an application while its databases change, and start it again
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - With O(state=begun) puts a flag file up, stops services in the order in which they are named, and pauses pools of
    PgBouncer. Only what ran is stopped.
  - What is stopped is written to the disk of the host first, so that any later run can start it again.
  - With O(state=ended) undoes that, the last first. The flag file goes when everything else is as before.
  - While one of its runs works on a database, or has left it held or half-way, a maintenance is not ended unless
    O(force) is true; RV(maintenance.kept_by) names it.
  - Both can be called again, and go on where they ended.
attributes:
  check_mode:
    support: full
    description: Predicts what would be stopped or started.
  diff_mode:
    support: full
    description: Shows what runs before and after.
options:
  state:
    description:
      - What is to be.
      - With V(started), pools and services go on and the flag file stays.
    type: str
    choices: [begun, started, ended]
    required: true
  run:
    description: The run that it is begun for.
    type: str
    default: ""
  names:
    description: The names of the databases that it is begun for; as long as one of them is held, it does not end.
    type: list
    elements: str
    default: []
  services:
    description:
      - Units of systemd by their names, or mappings with C(name) and the commands C(start), C(stop) and C(status),
        each a list of words. C(status) ends with 0 while the service runs.
      - C(ready) is a command that ends with 0 once the service answers, and C(timeout) the seconds for each step.
    type: list
    elements: raw
    default: []
  file:
    description: The flag file. One that is there already stays.
    type: path
    default: ""
  pgbouncer_url:
    description: The URL of PgBouncer's admin console.
    type: str
    default: ""
  pgbouncer_password:
    description: Its password, to keep it out of the URL.
    type: str
    default: ""
  pgbouncer_databases:
    description: The pools to pause. Empty, those that the URLs of the databases name.
    type: list
    elements: str
    default: []
  pgbouncer_timeout:
    description: Seconds that transactions under way get to end.
    type: float
    default: 60
  reconnect_timeout:
    description: Seconds to try to reach a host again after its connection broke.
    type: float
    default: 300
  cursor:
    description: Set by the action plugin.
    type: dict
    default: {}
  attach:
    description: Whether this call goes on with another one; set by the action plugin.
    type: bool
    default: false
  force:
    description: End it whatever state the databases are in.
    type: bool
    default: false
extends_documentation_fragment:
  - hosting.alembic.options.release
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
seealso:
  - module: hosting.alembic.health
  - module: hosting.alembic.recover
"""

EXAMPLES = r"""
- name: Begin the maintenance
  hosting.alembic.maintenance:
    state: begun
    root: /var/lib/hosting-alembic
    run: 20261122T030000Z-5f3a9c
    names: [shop]
    databases: &databases
      - name: shop
        url: postgresql://shop@db.example.net/shop
    services: [shop.service]
    file: /srv/shop/maintenance

- name: End the maintenance
  hosting.alembic.maintenance:
    state: ended
    root: /var/lib/hosting-alembic
    databases: *databases
"""

RETURN = r"""
done:
  description: What was stopped or started, or would be in check mode.
  returned: success
  type: list
  elements: str
maintenance:
  description: The maintenance that goes on or was ended; none if there is none.
  returned: success
  type: dict
  contains:
    since:
      description: When it was begun.
      type: str
    seconds:
      description: How long it has lasted.
      type: float
    run:
      description: The run that it goes on for.
      type: str
    databases:
      description: The databases that it goes on for.
      type: list
      elements: str
    services:
      description: The services that ran and are stopped.
      type: list
      elements: str
    file:
      description: The flag file, if it was not there before.
      type: str
    pools:
      description: The pools of PgBouncer that are paused.
      type: list
      elements: str
    kept_by:
      description: The databases that keep it from being ended, each with its C(state) and its C(run).
      type: list
      elements: dict
    ended:
      description: Whether it was ended.
      type: bool
error:
  description: What failed; what, why and the remedy.
  returned: failure
  type: dict
"""

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs
from ansible_collections.hosting.alembic.plugins.module_utils._module.code import answer_by_code


def main() -> None:
    answer_by_code("maintenance", argument_specs.build_maintenance())


if __name__ == "__main__":
    main()
