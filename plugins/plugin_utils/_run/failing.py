# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a task fails with a message that Ansible prints once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from . import invocation


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


def keep_whole(kind: str, host: str, answer: Mapping[str, Any]) -> FailedOnce:
    """Keep a failed answer for the lookup ``result``, and return the failure with its message and little else.

    Ansible prints the result of a task that fails, and that of hundreds of databases would fill the screen.
    """
    invocation.share(kind, host, dict(answer))
    short = {name: answer[name] for name in ("changed", "code", "lost", "ok") if name in answer}
    return FailedOnce(str(answer["msg"]), {**short, "kept": kind})
