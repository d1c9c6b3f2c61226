#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rehearse
short_description: Prove the upgrade of each database on a copy
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Restores the newest proven backup of a database, or one that is taken for it, into a scratch database.
  - Upgrades the copy, compares it with the models that C(env.py) names, undoes it revision by revision and compares
    what came back, and upgrades it again. The scratch database is dropped at the end, whatever happens.
  - The database itself is only read. A record of the success is left on the host, for
    O(hosting.alembic.upgrade#module:require_rehearsal).
  - What a rehearsal that was killed has left is dropped by the next one of the same database.
extends_documentation_fragment:
  - hosting.alembic.options.release
  - hosting.alembic.options.run
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
options:
  planned:
    description: The plans of the databases; those with nothing pending are left out.
    type: list
    elements: dict
  rehearsal_max_age:
    description: Seconds that a backup may be old to be rehearsed on.
    type: float
    default: 86400
  rehearsal_fails_on:
    description:
      - Findings that make a rehearsal a failed one.
      - V(lossy) is a revision whose downgrade does not bring back what was there, V(irreversible) one without a
        downgrade that works, V(again) one that fails a second time after its downgrade, V(models) a database that
        differs from the models after the upgrade.
    type: list
    elements: str
    choices: [lossy, irreversible, again, models]
    default: []
seealso:
  - module: hosting.alembic.plan_info
  - module: hosting.alembic.backup
  - module: hosting.alembic.upgrade
"""

EXAMPLES = r"""
- name: Rehearse
  hosting.alembic.rehearse:
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
      description: V(rehearsed), V(unchanged) if nothing is pending, V(refused) or V(failed).
      type: str
    changed:
      description: Whether a record of the success or a backup was left on the host. The database never is changed.
      type: bool
    identity:
      description: Which database this is on which server, independent of the URL.
      type: str
    target:
      description: The target of the upgrade.
      type: str
    before:
      description: The heads of the database.
      type: list
      elements: str
    after:
      description: The same heads.
      type: list
      elements: str
    goal:
      description: The heads that an upgrade would lead to.
      type: list
      elements: str
    backup:
      description: The manifest of the backup that was restored, without the long lists.
      type: dict
    backup_taken:
      description: Whether it was taken for this rehearsal.
      type: bool
    revisions:
      description: What was found out about each revision, in the order of the upgrade.
      type: list
      elements: dict
      contains:
        revision:
          description: The revision.
          type: str
        message:
          description: The first line of its message.
          type: str
        table:
          description: The version table that it belongs to.
          type: str
        seconds:
          description: How long it took.
          type: float
        locks:
          description: >-
            The tables that it had locked at its end, or when an autocommit block began, each with the strongest mode.
            Locks that only read are left out, and what is done inside of an autocommit block is not seen.
          type: dict
        space:
          description: How many bytes the database grew by until its commit.
          type: int
        verdict:
          description: >-
            V(reversible), V(lossy) if its downgrade does not bring back what was there, V(irreversible) if it has none
            or it fails, V(unknown) if it could not be judged.
          type: str
        why:
          description: Why it is irreversible or unknown.
          type: str
        data_loss:
          description: Tables and columns that did not come back as they were.
          type: list
          elements: dict
        schema:
          description: Lines of the schema that did not come back as they were, marked as in a diff.
          type: list
          elements: str
        again:
          description: Whether it could be applied a second time after its downgrade; null if that was not tried.
          type: bool
        again_error:
          description: Why it could not.
          type: str
    models:
      description: How the upgraded copy differs from the models; null if C(env.py) names none.
      type: list
      elements: str
    notes:
      description: What was not as it would be in the real run.
      type: list
      elements: str
    upgrade_seconds:
      description: How long the first upgrade of the copy took.
      type: float
    expected_seconds:
      description: How long the real run should take, its backup included.
      type: float
    error:
      description: Why it failed or was refused; what, why and the remedy.
      type: dict
    seconds:
      description: How long the rehearsal took.
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
    answer_by_code("rehearse", argument_specs.rehearse())


if __name__ == "__main__":
    main()
