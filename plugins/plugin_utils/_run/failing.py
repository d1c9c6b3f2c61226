# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The failure of a task with a message that Ansible prints once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

from . import results
from .screen import is_read_by_people

#: Characters that YAML leaves on one line.
_LONGEST_PLAIN = 100


class FailedOnce(AnsibleActionFail):  # type: ignore[misc]
    """A failure whose message is complete.

    From a result with ``failed``, Ansible makes an error of its own, and prints the same message above the result with
    the lines of the task around it. Those lines of ours are of no use to the person who reads them.
    """

    def __init__(self, msg: str, result: Mapping[str, Any] | None = None) -> None:
        super().__init__(msg, result=dict(result or {}))

    @property
    def result_contribution(self) -> Mapping[str, Any]:
        """Return the result with the message as it is to be printed."""
        return {**super().result_contribution, "msg": _as_block(self.message)}

    def as_task_result(self, utr: Any) -> Any:
        """Return the same in ansible-core 2.20 and later, which does not read ``result_contribution``."""
        utr = super().as_task_result(utr)
        utr.msg = _as_block(self.message)
        return utr

    @property
    def omit_exception_key(self) -> bool:
        """Have Ansible not add the error."""
        return True


def _as_block(msg: str) -> str:
    """Return a message so that it is printed as it is: YAML would double its quotes and break its line.

    A command in it could not be pasted then. YAML prints a text with a line break as a block.
    """
    is_plain = "'" not in msg and len(msg) <= _LONGEST_PLAIN
    return msg if is_plain or "\n" in msg or not is_read_by_people() else f"{msg}\n"


def keep_whole(kind: str, host: str, answer: Mapping[str, Any], msg: str = "") -> FailedOnce:
    """Keep a failed answer for the lookup ``result``, and return the failure with a message and little else.

    Ansible prints the result of a task that fails, and that of hundreds of databases would fill the screen.

    Args:
        kind: what the answer is kept as, among those of the host's run.
        host: the host that answered.
        answer: what it answered.
        msg: what is printed, where it is not the answer's own message.
    """
    kept = results.keep_as(kind, host, answer)
    short = {name: answer[name] for name in ("changed", "code", "lost") if name in answer}
    return FailedOnce(msg or str(answer["msg"]), {**short, "kept": kept})
