# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Strategies under which a task cannot do its work."""

from __future__ import annotations

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused


def refuse_mitogen(action: type) -> None:
    """Refuse a task that one of Mitogen's strategies runs; it derives a class of its own from the action's.

    Raises:
        Refused: Mitogen runs the task.
    """
    if any(each.__module__.partition(".")[0] == "ansible_mitogen" for each in action.__mro__):
        raise Refused(
            "This task cannot be run by a strategy of Mitogen",
            "Mitogen keeps a module's code in memory, and the Python of the release's virtualenv reads it from a file",
            "Write strategy: ansible.builtin.linear into the play",
            code="mitogen-strategy",
        )
