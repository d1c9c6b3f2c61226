# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a task fails with a message that Ansible prints once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail


class FailedOnce(AnsibleActionFail):  # type: ignore[misc]
    """A failure that is all said in its message.

    From a result with ``failed``, Ansible makes an error of its own, and prints the same message above the result with
    the lines of the task around it. Those lines of ours are of no use to the person who reads them.
    """

    def __init__(self, msg: str, result: Mapping[str, Any] | None = None) -> None:
        super().__init__(msg, result=dict(result or {}))

    @property
    def omit_exception_key(self) -> bool:
        """Tell Ansible not to add the error."""
        return True
