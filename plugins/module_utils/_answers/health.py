# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module health: the results of the health checks."""

from __future__ import annotations

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._application.health_checks import Check, attend, find_failing_statements
from .._core.errors import Failed
from .._module.databases import use_databases
from .._module.result import fail, leave
from .._module.verb import delegate_verb
from .._release.by_application import group_by_release


def respond(module: AnsibleModule) -> NoReturn:
    """Answer, and end the process."""
    use_databases(module)
    options = dict(module.params)
    checks = [Check.of(entry) for entry in options["checks"]]
    if module.check_mode:
        leave(module, changed=False, finished=True, lines=[], cursor={}, results=[], tries=0)

    def query_databases(statements: list[dict[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        wanted = {statement["database"] for statement in statements}
        entries = [entry for entry in options["databases"] if wanted & {"", entry["name"]}]
        for group in group_by_release({**options, "databases": entries}) if entries else []:
            for number, answers in delegate_verb("health", {**group, "statements": statements})["found"].items():
                found.setdefault(number, []).extend(answers)
        return found

    answer = attend(checks, options, lambda numbers: find_failing_statements(checks, numbers, query_databases))
    wrong = [result for result in answer.get("results", []) if not result["passed"]]
    if answer["finished"] and wrong:
        message = "; ".join(f"{result['check']}: {result['why']}" for result in wrong)
        failure = Failed(
            f"Not healthy after {answer['tries']} tries",
            message,
            "Correct what the checks name, or the checks themselves in migrate_health_checks",
            code="health-check-failed",
        )
        fail(module, str(failure), changed=False, **answer, code=failure.code, error=failure.as_facts())
    leave(module, changed=False, **answer)
