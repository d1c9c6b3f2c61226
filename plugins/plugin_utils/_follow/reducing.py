# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reducing what a host answers to what was declared, before anything of it is used or printed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.utils.display import Display

from ansible_collections.hosting.alembic.plugins.module_utils._core.packed_list import unpack_list
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_playbook_command
from ansible_collections.hosting.alembic.plugins.module_utils._core.printable import escape_unprintable
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .answers import answer_of, has_sources, list_names
from .shapes import LONGEST_ANSWER, Unfit, check_total

display = Display()

_PREFIX = "hosting.alembic."
#: The modules that send what they say of many databases as one text.
_PACKING = ("plan_info",)
# An interpreter that Ansible has found on the host; without it, it is searched for again at each task.
_INTERPRETER = re.compile(r"/[A-Za-z0-9._/+-]{1,200}")
# Printed by Ansible before we see it. Not what JSON itself may hold, and written as JSON writes it.
_ACTED_ON = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def escape_controls(value: Any) -> Any:
    """Return the output of a module in which no terminal finds anything to act on; JSON means the same afterwards."""
    if not isinstance(value, str):
        return value
    return _ACTED_ON.sub(lambda found: f"\\u{ord(found[0]):04x}", value.replace("\r\n", "\n"))


def reduce_answer(module: str, answer: Mapping[str, Any], arguments: Mapping[str, Any]) -> Result:
    """Return what a module answers, reduced to the keys and types that are declared for it.

    An answer that does not fit is a failed one: it is unknown what such a host has done.

    Args:
        module: the module's name.
        answer: what the host sent.
        arguments: what the module was called with.
    """
    value = {**answer, "failed": bool(answer.get("failed"))}
    if isinstance(value.get("warnings"), (list, tuple)):
        value["warnings"] = [_describe_warning(warning) for warning in value["warnings"]][:100]
    if value["failed"] and not isinstance(value.get("msg"), str):
        value["msg"] = _describe_warning(value.get("exception")) or "The module failed and did not say why."
    declared = answer_of(module.removeprefix(_PREFIX), list_names(arguments), finds=has_sources(arguments))
    try:
        if "packed" in value and module.removeprefix(_PREFIX) in _PACKING:
            value["databases"] = _unpack(value.pop("packed"))
        kept: Result = declared.reduce(value)
        check_total(kept)
    except Unfit as unfit:
        return build_unfit_result(str(unfit))
    dropped = [
        key for key in declared.list_unknown_keys(value) if key not in ("invocation", "exception", "ansible_facts")
    ]
    if dropped:
        display.vvv(escape_unprintable(f"{module}: not passed on: {', '.join(map(str, dropped))[:1000]}"))
    if kept["failed"]:
        _trace(value)
    else:
        del kept["failed"]
    return kept


def _unpack(packed: Any) -> list[Any]:
    try:
        return unpack_list(packed, LONGEST_ANSWER)
    except ValueError as error:
        raise Unfit(str(error), "packed") from error


def build_unfit_result(problem: str) -> Result:
    """Return the result of a host that does not answer as its module does."""
    return {
        "failed": True,
        "changed": False,
        "databases": [],
        "finished": True,
        "msg": f"The host's answer cannot be used: {problem}. What it did is not known; nothing of the answer was"
        f" used. Check who has access to that host, then read where its databases are:"
        f" {build_playbook_command('status')}",
    }


def reduce_interpreter(key: str | None, found: Any) -> Result:
    """Return the fact by which Ansible remembers an interpreter, if it is a path and nothing else."""
    if not key or not isinstance(found, str) or not _INTERPRETER.fullmatch(found):
        return {}
    return {"ansible_facts": {key: found}}


def _describe_warning(value: Any) -> str:
    """Return the words of a warning or an exception, whatever kind of object this release of Ansible makes of it."""
    event = getattr(value, "event", None)
    words = getattr(event, "msg", value)
    return words if isinstance(words, str) else ""


def _trace(value: Result) -> None:
    for key in ("exception", "module_stdout", "module_stderr"):
        traced = getattr(getattr(value.get(key), "event", None), "formatted_traceback", value.get(key))
        if isinstance(traced, str) and traced:
            display.vvv(escape_unprintable(f"{key}: {traced[:20_000]}", lines=True))
