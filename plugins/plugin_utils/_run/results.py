# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answers of the verbs for each host: kept whole on the controller, for the gate and the summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from . import invocation

#: Modules of which the last answer is kept, by what it is called in a run's results.
_KEPT = {
    "plan_info": "plan",
    "upgrade": "upgrade",
    "downgrade": "downgrade",
    "rollback": "rollback",
    "maintenance": "maintenance",
}
_PACKED = "packed"


def begin(host: str, packed: Mapping[str, Any]) -> None:
    """Keep what preflight returned for a host; what is kept from then on belongs to that run."""
    invocation.share_facts(_PACKED, host, dict(packed))


def keep(action: str, host: str, answer: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """Keep the whole answer of a module, and return the name under which it is kept.

    Args:
        action: the module's name, also with its collection.
        host: the host that answered.
        answer: what it answered.
        arguments: what the module was called with.
    """
    kind = choose_kind(action, arguments)
    return keep_as(kind, host, answer) if kind in _KEPT.values() else ""


def choose_kind(action: str, arguments: Mapping[str, Any]) -> str:
    """Return what an answer of a module is kept as; the begin of a maintenance is not a result of the run."""
    verb = action.rpartition(".")[2]
    begins = verb == "maintenance" and arguments.get("state") != "ended"
    return "maintenance_begun" if begins else _KEPT.get(verb, verb)


def keep_as(kind: str, host: str, answer: Mapping[str, Any]) -> str:
    """Keep an answer as one of a host's run, and return the name under which it is kept."""
    name = _build_name(kind, host)
    invocation.share_facts(name, host, {key: value for key, value in answer.items() if key != "ansible_facts"})
    return name


def of_host(host: str) -> Result:
    """Return what is kept of a host's run: ``packed`` and the answers, by verb; nothing that is not known yet."""
    packed = invocation.read_shared(_PACKED, host)
    if packed is None:
        return {}
    answers = {kind: invocation.read_shared(_build_name(kind, host), host) for kind in _KEPT.values()}
    return {_PACKED: packed, **{kind: answer for kind, answer in answers.items() if answer is not None}}


def has_failed(answer: Mapping[str, Any]) -> bool:
    """Return whether an answer is a failure, also where ``failed_when`` has overwritten its own ``failed``."""
    return bool(answer.get("failed")) or answer.get("ok") is False


def _build_name(kind: str, host: str) -> str:
    run = (invocation.read_shared(_PACKED, host) or {}).get("run")
    return f"{kind}-{run}" if run else kind
