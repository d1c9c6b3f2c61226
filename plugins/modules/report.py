#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Report what was found or done, for people
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Prints one line a database from the results of the other modules, and below what needs a person.
  - Of more than twelve databases, those that are alike have one line, and those that need a person have their own;
    C(-v) prints each.
  - Fails if any of the results did, unless O(summarised), with what failed, what was undone, the revisions of each
    database, and what to type next.
  - Runs on the controller only; no connection is made.
options:
  plan:
    description: Result of M(hosting.alembic.plan_info).
    type: dict
    default: {}
  upgrade:
    description: Result of M(hosting.alembic.upgrade).
    type: dict
    default: {}
  downgrade:
    description: Result of M(hosting.alembic.downgrade).
    type: dict
    default: {}
  backup:
    description: Result of M(hosting.alembic.backup).
    type: dict
    default: {}
  rehearse:
    description: Result of M(hosting.alembic.rehearse).
    type: dict
    default: {}
  rollback:
    description: Result of M(hosting.alembic.rollback).
    type: dict
    default: {}
  restore:
    description: Result of M(hosting.alembic.restore).
    type: dict
    default: {}
  recover:
    description: Result of M(hosting.alembic.recover).
    type: dict
    default: {}
  prune:
    description: Result of M(hosting.alembic.prune).
    type: dict
    default: {}
  status:
    description: Result of M(hosting.alembic.status_info).
    type: dict
    default: {}
  backups:
    description: Result of M(hosting.alembic.backups_info).
    type: dict
    default: {}
  maintenance:
    description: Result of M(hosting.alembic.maintenance).
    type: dict
    default: {}
  rejected:
    description: Why verified upgrades were reverted all the same.
    type: str
    default: ""
  failure:
    description: What failed, for where none of the results says it.
    type: str
    default: ""
  summarised:
    description: Whether a summary of all hosts follows, which fails those that failed and says why and what to type.
    type: bool
    default: false
  joint:
    description:
      - Whether all hosts of the play report here. Their databases are printed in one table then, with one last line, by
        the host that reports last; what is below a table stays with its host.
    type: bool
    default: false
  on_deferred:
    description: Whether a database that was not begun for want of time is a failure (V(fail)) or not (V(accept)).
    type: str
    default: accept
  manifests:
    description:
      - Folder on the controller. Where a host has so many databases that they are printed by groups, what is known of
        each is kept in the folder of the run below it, as JSON. Nothing is kept in check mode, or where this is empty.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Never changes anything.
  diff_mode:
    support: none
    description: Changes nothing.
seealso:
  - module: hosting.alembic.rollout_summary
  - module: hosting.alembic.status_info
"""

EXAMPLES = r"""
- name: Report
  hosting.alembic.report:
    status: "{{ status }}"
"""

RETURN = r"""
lines:
  description: What there is to report of this host, also where all hosts have one table on the screen.
  returned: always
  type: list
  elements: str
joint:
  description: The table of all hosts and its last line, of the host that reported last.
  returned: with O(joint), where there are several hosts
  type: list
  elements: str
"""
