# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judgement of a module's answer: one without what it must hold is a failure.

ansible-core returns neither ``msg`` nor the module's own keys for a module that raises, or whose output is cut short.
"""

from __future__ import annotations

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import CRASHED, Failed, Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

_DATABASES: dict[str, type] = {"databases": list}
_FOLLOWED: dict[str, type] = {"databases": list, "finished": bool}

#: What an answer must hold to be one, by its module.
_MUST_HOLD: dict[str, dict[str, type]] = {
    "backup": _FOLLOWED,
    "downgrade": _FOLLOWED,
    "recover": _FOLLOWED,
    "rehearse": _FOLLOWED,
    "restore": _FOLLOWED,
    "rollback": _FOLLOWED,
    "upgrade": _FOLLOWED,
    "backups_info": _DATABASES,
    "health": {"finished": bool},
    "maintenance": {"done": list},
    "plan_info": {**_DATABASES, "pending": bool, "shipped": bool, "refusals": list, "unrecovered": list},
    "prune": _DATABASES,
    "release": {"needs": list},
    "status_info": _DATABASES,
}


#: Exit codes of a shell that could not execute, or did not find, what it was to start.
_NOT_STARTED = (126, 127)


def with_message(action: str, answer: Result) -> Result:
    """Return an answer that says that its module raised; the exception itself may hold parts of a secret."""
    if answer.get("failed") and answer.get("rc") in _NOT_STARTED and not answer.get("module_stdout"):
        return {**answer, **_build_missing_python(str(answer.get("module_stderr") or ""))}
    if not answer.get("failed") or answer.get("msg"):
        return answer
    return {**answer, **_build_missing_answer(action, "it raised an exception")}


def judge_answer(action: str, answer: Result) -> Result:
    """Return an answer with ``ok``, which is true of a success only, and with all that a failure must hold.

    Args:
        action: the module's name, also with its collection.
        answer: what came from the host.
    """
    module = action.rpartition(".")[2]
    missing = [name for name, kind in _MUST_HOLD.get(module, {}).items() if not isinstance(answer.get(name), kind)]
    if not answer.get("failed") and not missing:
        return {**answer, "ok": True}
    if not answer.get("failed"):
        answer = {**answer, **_build_missing_answer(action, f"it returned no {' and no '.join(missing)}")}
    answer = with_message(action, answer)
    databases = answer["databases"] if isinstance(answer.get("databases"), list) else []
    facts = {"failed": True, "ok": False, "finished": True, "changed": bool(answer.get("changed"))}
    return {**answer, **facts, "databases": databases}


def _build_missing_answer(action: str, why: str) -> Result:
    remedy = "Run again; -vvv prints what the host answered"
    return answer_for(Failed(f"The module {action.rpartition('.')[2]} gave no answer", why, remedy, code=CRASHED))


def _build_missing_python(words: str) -> Result:
    """Return the failure of a module whose Python did not start: no secret was read, so the shell's words may stay."""
    why = next((line for line in words.splitlines() if line.strip()), "the shell printed nothing")
    remedy = "Set ansible_python_interpreter to a Python of the host that is 3.9 or newer"
    return answer_for(Failed("The host's Python did not start", why, remedy, code="interpreter-not-started"))


def answer_for(error: Refused) -> Result:
    """Return what an answer says of an error."""
    return {"msg": str(error), "code": error.code, "error": error.as_facts()}
