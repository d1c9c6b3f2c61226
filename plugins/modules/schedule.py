#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule
short_description: Put the run on the controller's schedule, or take it off
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Writes a script that runs C(ansible-playbook) in its maintenance windows, and has a systemd timer or cron start it.
  - The script keeps a log, a lock against overlapping runs, and reports a failure by a command or a mail.
  - Where a window does not open, on an excluded date for one, the script ends quietly.
  - Runs on the controller only; no connection is made.
options:
  state:
    description: Whether the schedule is installed or removed. The log stays in any case.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: What the schedule and its files are called; small letters, digits and hyphens.
    type: str
    required: true
  kind:
    description:
      - V(systemd) is a timer, V(cron) a file of C(/etc/cron.d), V(crontab) a line of the user's crontab.
      - V(auto) is a timer where systemd runs, else cron. Who is not root gets a timer or a crontab of their own.
    type: str
    choices: [auto, systemd, cron, crontab]
    default: auto
  folder:
    description: Where to write all files in place of the machine's own folders. Then nothing is switched on.
    type: str
    default: ""
  windows:
    description: When to run, as the role's C(migrate_windows) describes it.
    type: list
    elements: dict
    default: []
  playbook:
    description: What is run, relative to O(project), or a playbook of a collection by its name.
    type: str
  project:
    description: The folder to run it in; its C(ansible.cfg) counts.
    type: str
  inventory:
    description: The inventories.
    type: list
    elements: str
    default: []
  vault_password_file:
    description: The file with the password of the vault, or the program that prints it.
    type: str
    default: ""
  arguments:
    description: Further words of the command line.
    type: list
    elements: str
    default: []
  log:
    description: Where to log. By default below C(/var/log/hosting-alembic), or C(~/.local/state/hosting-alembic).
    type: str
    default: ""
  on_failure:
    description:
      - A shell command that is run when a run has failed. It reads the run's log from its standard input.
      - C(MIGRATE_EXIT_CODE), C(MIGRATE_LOG) and C(MIGRATE_SCHEDULE) are in its environment.
    type: str
    default: ""
  mail:
    description: The address that gets a mail when a run has failed, by C(mail) or C(sendmail).
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Returns which files would be written or removed.
  diff_mode:
    support: none
    description: Shows no texts.
seealso:
  - module: hosting.alembic.preflight
"""

EXAMPLES = r"""
- name: Migrate on Saturday nights
  hosting.alembic.schedule:
    name: hosting-alembic
    project: /srv/migrations
    playbook: migrate.yml
    inventory: [inventory/fleet]
    vault_password_file: /root/.vault
    mail: ops@example.net
    windows:
      - days: [sat]
        start: "22:00"
        end: "04:00"
        timezone: Europe/Berlin
"""

RETURN = r"""
kind:
  description: What runs it.
  returned: success
  type: str
files:
  description: What was written or removed.
  returned: success
  type: list
  elements: str
next:
  description: When the next window opens.
  returned: success
  type: str
script:
  description: The script. A process that calls it without arguments gets a run if a window is open.
  returned: when present
  type: str
log:
  description: The log.
  returned: when present
  type: str
summary:
  description: When the next window opens, where the log is, and whether anything was switched on.
  returned: when present
  type: list
  elements: str
"""
