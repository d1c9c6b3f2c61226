# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's variables, compared with their description before any host is touched.

Ansible does so too for the entry point that has the options, as a task of its own, and prints the whole description
where one is wrong. Our playbooks leave that to preflight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values

from .._run import invocation
from .._run.failing import FailedOnce, keep_whole
from .._run.screen import is_read_by_people
from .checks import list_problems

_SPECS = Path(__file__).parents[3] / "roles" / "migrate" / "meta" / "argument_specs.yml"

#: Checked as options of preflight, in more detail.
_CHECKED = {
    f"migrate_{name}" for name in ("databases", "discover", "source", "exclude", "windows", "services", "health_checks")
}


#: Of what is kept, how much.
_COUNTS = ("migrate_backup_keep", "migrate_backup_keep_days", "migrate_keep_releases")


def list_variable_problems(
    variables: Mapping[str, Any], template: Callable[[dict[str, Any]], dict[str, Any]], prefix: str = "migrate_"
) -> Iterator[str]:
    """Yield what is wrong with the role's variables, which mean the same in every entry point.

    Args:
        variables: those of a task.
        template: returns values without templates.
        prefix: what the names of those begin with that are compared.
    """
    options = invocation.make_once("variables", _read_described)
    described = {name: option for name, option in options.items() if name.startswith(prefix)}
    given = template({name: variables[name] for name in described if name in variables})
    found = ArgumentSpecValidator(described).validate(given)
    for message in found.error_messages:
        line = " ".join(str(remove_values(message, found._no_log_values)).split())
        yield line if line.endswith(".") else f"{line}."
    for name in _COUNTS:
        value = found.validated_parameters.get(name)
        if isinstance(value, int) and value < 0:
            yield f"{name} must be at least 0 and is {value}."


def list_all_problems(
    variables: Mapping[str, Any], template: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[str]:
    """Yield what is wrong with the variables of an entry point that packs nothing, also with its databases."""
    given = template({name: variables[name] for name in _CHECKED if name in variables})
    yield from list_problems({name.removeprefix("migrate_"): value for name, value in given.items()})
    yield from list_variable_problems(variables, template)


def build_refusal(wrong: Sequence[str], host: str) -> FailedOnce:
    """Return the failure of a task that found something wrong before anything was changed.

    Most of it is wrong for all hosts: the first one says it, and the result of each has it whole.
    """
    begins = "Nothing was changed"
    if len(wrong) == 1:
        msg = f"{begins}. {wrong[0]}"
    else:
        msg = "\n".join([f"{begins}, because {len(wrong)} things are wrong:", *wrong])
    if not is_read_by_people():
        return FailedOnce(msg, {"problems": list(wrong)})
    first = invocation.find_first_with(msg, host)
    return FailedOnce(msg) if first == host else keep_whole("preflight", host, {"msg": msg}, f"The same as on {first}.")


def _read_described() -> dict[str, Any]:
    specs = yaml.safe_load(_SPECS.read_text(encoding="utf-8"))["argument_specs"]
    return {name: spec for name, spec in specs["main"]["options"].items() if name not in _CHECKED}
