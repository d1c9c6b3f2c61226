# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the release module: it sends a host what the host says it needs."""

from __future__ import annotations

from typing import Any

from ansible_collections.hosting.alembic.plugins.plugin_utils.following import FollowingAction

_ARCHIVES = {"archive": "archive", "wheelhouse": "wheelhouse_archive"}


class ActionModule(FollowingAction):
    """Ask what is needed, send it, install it."""

    TRANSFERS_FILES = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's last answer."""
        super().run(tmp, task_vars)
        facts = task_vars or {}
        local = {option: self._task.args.get(option) or "" for option in _ARCHIVES.values()}
        arguments = {key: value for key, value in self._task.args.items() if key not in local}
        answer = self.call(arguments, facts)
        if self._task.check_mode or answer.get("failed") or not answer["needs"]:
            return answer
        try:
            for need in answer["needs"]:
                option = _ARCHIVES[need]
                arguments[option] = self._send(local[option])
            return {**self.call(arguments, facts), "needs": answer["needs"]}
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _send(self, path: str) -> str:
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, path.rsplit("/", 1)[-1])
        self._transfer_file(path, remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))
        return str(remote)
