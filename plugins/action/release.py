# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the release module: it sends a host what the host says it needs."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.action import (
    ARCHIVES,
    FollowingAction,
    make_lost_result,
)


class ActionModule(FollowingAction):
    """Find out what is needed, send it, install it."""

    # Else Ansible makes a temporary folder on the host before it is known whether anything is to be sent.
    TRANSFERS_FILES = False

    def perform(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's last answer."""
        arguments, local = self.split_archives()
        answer = self.call(arguments, task_vars)
        if self._task.check_mode or answer.get("failed") or not answer["needs"]:
            return answer
        try:
            with self.send_archives({ARCHIVES[need]: local[ARCHIVES[need]] for need in answer["needs"]}) as sent:
                return {**self.call({**arguments, **sent}, task_vars), "needs": answer["needs"]}
        except AnsibleConnectionFailure as error:
            return make_lost_result(error.message)
