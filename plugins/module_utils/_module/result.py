# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""The results of modules: one place where errors become results, and nothing secret gets into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._core.argument_specs import Spec
from .._core.errors import CRASHED, Failed, Refused, describe_cause
from .._core.masking import learn, mask_data, mask_text
from .._core.ownership import refuse_if_root_is_not_ours
from .._core.revisions import describe_heads
from .._core.secrets import mask_for
from .._release.lookup import release_of_all

_REPORT_IT = "Run again; if it happens again, report it with the output of -vvv"

#: Outcomes that need a person.
BAD = ("failed", "refused", "held")


def build_module(spec: Spec) -> AnsibleModule:
    """Return a module that keeps what it was given to itself.

    A URL, an environment or an ``-x`` argument may hold a secret beside harmless words. Declaring all of it
    ``no_log`` would blank those words wherever they are, so the invocation is neither logged nor returned.
    What is returned goes through a mask of our own: Ansible's knows no part of a secret, and turns "parsed" into stars
    where the password is "parse".
    """
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, no_log=True)
    module.no_log_values = set()
    learn(lambda: mask_for(module.params))
    return module


def read_options(module: AnsibleModule) -> dict[str, Any]:
    """Return a module's options, with the release of its databases where none is named."""
    options = dict(module.params)
    if not options.get("release"):
        names = [entry["name"] for entry in options.get("databases") or []]
        options["release"] = release_of_all(options["root"], names)
    return options


@contextmanager
def answer_errors(module: AnsibleModule) -> Iterator[None]:
    """Turn a refusal, a failure and every other exception into the module's failed result.

    ansible-core returns no ``msg`` for a module that raises, and to its callers that looked like success. What lies
    below migrate_root is executed and believed, so it is read before anything of it is read.
    """
    try:
        refuse_if_root_is_not_ours(Path(module.params["root"]))
        yield
    except Refused as error:
        fail(module, str(error), **_build_error_facts(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the play has to see a failed result
        crash = Failed(
            f"The module {module._name} stopped with an error of its own",
            describe_cause(error),
            _REPORT_IT,
            code=CRASHED,
        )
        fail(module, str(crash), **_build_error_facts(crash))


def _build_error_facts(error: Refused) -> dict[str, Any]:
    return {"error": error.as_facts(), "code": error.code, "changed": False, "databases": [], "finished": True}


def leave(module: AnsibleModule, **facts: Any) -> NoReturn:
    """Exit with a result that does not repeat the module's options."""
    module.exit_json(invocation={}, **mask_data(facts))
    raise AssertionError("exit_json does not return")


def fail(module: AnsibleModule, msg: str, **facts: Any) -> NoReturn:
    """Fail with a result that does not repeat the module's options."""
    module.fail_json(msg=mask_text(msg), invocation={}, **mask_data(facts))
    raise AssertionError("fail_json does not return")


def format_errors(results: Sequence[Mapping[str, Any]]) -> str:
    """Return what went wrong, one line a database."""
    errors = [Refused.of(result.get("error") or {"what": result["outcome"]}) for result in results]
    return "\n".join(f"{result['name']}: {' '.join(str(error).split())}" for result, error in zip(results, errors))


def build_diff(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return where databases were and where they are, as Ansible's diff."""
    return {
        "before": "".join(f"{entry['name']}: {_format_position(entry.get('before'))}\n" for entry in results),
        "after": "".join(f"{entry['name']}: {_format_position(entry.get('after'))}\n" for entry in results),
    }


def _format_position(heads: list[str] | None) -> str:
    return "unknown" if heads is None else describe_heads(heads)
