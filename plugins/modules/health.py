#!/usr/bin/python
# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: health
short_description: Check the URLs and databases of an application
version_added: 0.1.0
author: hosting.alembic contributors (@hosting)
description:
  - Requests each URL from the host, and executes each statement over a connection that changes nothing.
  - What does not answer as expected is tried again, and fails the module if it never does.
extends_documentation_fragment:
  - hosting.alembic.options.release
  - hosting.alembic.options.code
  - hosting.alembic.options.platform
attributes:
  check_mode:
    support: full
    description: Checks nothing, because nothing was changed.
  diff_mode:
    support: none
    description: Changes nothing, so there is nothing to compare.
options:
  checks:
    description:
      - Mappings, each with a C(url) or with an C(sql).
      - A C(url) has C(status) (a number or a list, 200 by default), C(text) that the answer has to contain, C(headers),
        C(validate_certs), C(timeout) and C(public). Redirections are not followed.
      - The role requests a URL that is C(public) once the maintenance has ended, others right before that.
      - An C(sql) has C(expect), one value or a list of rows, and C(database); without one, in every database.
    type: list
    elements: dict
    required: true
  retries:
    description: How often a check that has not passed is tried again.
    type: int
    default: 10
  delay:
    description: Seconds between two tries.
    type: float
    default: 3
  follow:
    description: Seconds that one call stays; the action plugin calls again.
    type: float
    default: 3.5
  cursor:
    description: What the call before has returned.
    type: dict
    default: {}
  attach:
    description: Whether this call goes on with another one; set by the action plugin.
    type: bool
    default: false
  reconnect_timeout:
    description: Seconds to try to reach a host again after its connection broke.
    type: float
    default: 300
seealso:
  - module: hosting.alembic.upgrade
  - module: hosting.alembic.maintenance
"""

EXAMPLES = r"""
- name: Query the application and its database
  hosting.alembic.health:
    root: /var/lib/hosting-alembic
    databases:
      - name: shop
        url: postgresql://shop@db.example.net/shop
        password: "{{ vault_shop_password }}"
    checks:
      - url: http://127.0.0.1:8000/health
        text: ok
      - sql: SELECT count(*) FROM users WHERE email IS NULL
        expect: 0
"""

RETURN = r"""
results:
  description: What became of each check.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: The URL without its query, or the statement.
      type: str
    passed:
      description: Whether it answered as expected.
      type: bool
    why:
      description: Why not.
      type: str
tries:
  description: How often it was tried.
  returned: always
  type: int
error:
  description: What failed or was refused; what, why, the remedy and the code.
  returned: failure
  type: dict
finished:
  description: Whether the module has the answer. The action plugin calls again until it has.
  returned: to the action plugin
  type: bool
progress:
  description: What was printed meanwhile.
  returned: from the action plugin
  type: list
  elements: str
lines:
  description: What does not answer as expected yet, for people.
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
    answer_by_code("health", argument_specs.build_health())


if __name__ == "__main__":
    main()
