# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Having a verb done, or foreseeing it: what the modules of the verbs have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._core.job import Job
from .._core.results import DatabaseResult, PlanFacts, RehearsalResult, Result
from .._release.by_application import answer_by_release, group_by_release
from .._release.lookup import build_missing_release_refusal, find_virtualenv_python
from .._worker.follow import follow_worker
from .call import call_verb
from .result import BAD, build_diff, fail, format_errors, leave


def delegate_verb(verb: str, options: Result) -> Result:
    """Have a verb done under the virtualenv of its release.

    Raises:
        Refused: the release is not on the host, or the verb was refused.
    """
    python = find_virtualenv_python(options["root"], options["release"])
    if python is None:
        raise build_missing_release_refusal(
            options["root"], options["release"], [entry["name"] for entry in options["databases"]]
        )
    return call_verb(python, verb, options)


def follow(module: AnsibleModule, verb: str, groups: list[Result], beside: Sequence[DatabaseResult] = ()) -> NoReturn:
    """Start or attach to a verb's worker, and exit with what it has done so far.

    Args:
        module: exits.
        verb: what to do.
        groups: the options, once for each release that its databases have.
        beside: results of databases that the verb leaves alone.

    Raises:
        Refused: as ``delegate_verb``.
    """
    answer = answer_by_release(groups, lambda options: _follow_worker(verb, options))
    results = [*answer["results"], *(beside if answer["finished"] else ())]
    changed = any(result.get("changed") for result in results)
    facts = {key: answer[key] for key in ("finished", "lines", "cursor")}
    bad = [result for result in results if result["outcome"] in BAD]
    if answer["finished"] and bad:
        fail(module, format_errors(bad), changed=changed, databases=results, **facts)
    leave(module, changed=changed, databases=results, diff=build_diff(results), **facts)


def _follow_worker(verb: str, options: Result) -> Result:
    # A downgrade and a rollback choose their databases themselves.
    names = [entry["name"] for entry in options["databases"]]
    attached = verb in ("backup", "rehearse", "upgrade") and any(name in options["cursor"] for name in names)
    return (follow_worker(Job.from_options(verb, options)) if attached else None) or delegate_verb(verb, options)


def predict(module: AnsibleModule, groups: list[Result]) -> NoReturn:
    """Exit with what an upgrade would change, for check mode.

    Raises:
        Refused: as ``delegate_verb``.
    """
    planned = module.params.get("planned")
    foretell(
        module, [predict_result(entry) for entry in planned] if planned else _predict_groups(groups, predict_result)
    )


def _predict_groups(groups: list[Result], predict_one: Callable[[PlanFacts], DatabaseResult]) -> list[DatabaseResult]:
    def answer_of(group: Result) -> Result:
        return {"results": [predict_one(entry) for entry in delegate_verb("plan", group)["databases"]]}

    return list(answer_by_release(groups, answer_of)["results"])


def foresee(module: AnsibleModule, outcome: str, names: list[str]) -> NoReturn:
    """Exit with what would be done to some databases, for the check mode of verbs that need no plan."""
    foretell(module, [{"name": name, "outcome": outcome, "changed": True} for name in names])


def exit_with_foreseen_rehearsal(module: AnsibleModule, plans: list[PlanFacts] | None) -> NoReturn:
    """Exit with what would be rehearsed, for check mode.

    Raises:
        Refused: as ``delegate_verb``.
    """
    # As the rehearsal itself plans: what failed before, or was never rehearsed, is what it is for.
    groups = group_by_release({**module.params, "retry_failed": True, "require_rehearsal": False})
    found = (
        _predict_groups(groups, _foresee_rehearsal) if plans is None else [_foresee_rehearsal(plan) for plan in plans]
    )
    foretell(module, [result for result in found if result["changed"] or result["outcome"] in BAD])


def foretell(module: AnsibleModule, results: Sequence[DatabaseResult], *, fails: bool = True) -> NoReturn:
    """Exit with predicted results; where one would be refused, fail if that is requested."""
    facts = {"changed": any(result["changed"] for result in results), "databases": results}
    facts.update(finished=True, lines=[], cursor={}, diff=build_diff(results))
    bad = [result for result in results if result["outcome"] in BAD]
    if bad and fails:
        fail(module, format_errors(bad), **facts)
    leave(module, **facts)


def _foresee_rehearsal(plan: PlanFacts) -> RehearsalResult:
    blocked = plan["obstacles"]
    return {
        "name": plan["name"],
        "outcome": "refused" if blocked else "rehearsed",
        "changed": bool(plan["pending"]) and not blocked,
        "before": plan["current"],
        "after": plan["current"],
        "goal": plan["heads"],
        "revisions": [],
        "error": blocked[0] if blocked else None,
    }


def predict_result(plan: PlanFacts) -> DatabaseResult:
    """Return the result that an upgrade by this plan would have."""
    pending = plan["pending"]
    blocked = plan["obstacles"]
    return {
        "name": plan["name"],
        "outcome": "refused" if blocked else ("upgraded" if pending else "unchanged"),
        "changed": bool(pending) and not blocked,
        "identity": plan["identity"],
        "target": plan["target"],
        "before": plan["current"],
        "after": plan["current"] if blocked or not pending else plan["heads"],
        "applied": [{**revision, "seconds": None} for revision in ([] if blocked else pending)],
        "backup": None,
        "lost_rows": {},
        "notes": [],
        "error": blocked[0] if blocked else None,
        "seconds": 0.0,
    }
