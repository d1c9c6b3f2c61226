# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""From a module, under the host's own Python, to a process under the virtualenv's."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from .._core.entries import hand_over_secrets
from .._core.errors import CRASHED, Refused
from .._core.job import Job
from .._core.results import PlanFacts

# What is imported stays; searching for garbage among it meanwhile takes a tenth of the time.
# The packed code comes as an argument: PYTHONPATH would be inherited by every command that is started from there.
_UTILS = __name__.rpartition("._module.")[0]
_ENTRY = """\
import gc, hashlib, sys
gc.disable()
kept, packed = sys.argv.pop(), sys.argv.pop()
compiled = f"{{packed[:-4]}}.{{sys.implementation.cache_tag}}-{{sys.hexversion:x}}.zip"
try:
    with open(compiled, "rb") as file:
        content = file.read()
    is_there = kept and hashlib.sha256(content[:-64]).hexdigest().encode() == content[-64:]
    del content
except OSError:
    is_there = False
sys.path[:1] = [compiled if is_there else packed]
if kept == "writable" and not is_there:
    from pathlib import Path
    from {utils}._core.packed_code import compile_beside
    compile_beside(Path(packed))
from {utils}.{entry} import main
main()
"""


@dataclass
class Code:
    """The code that this module works with, as ``answer`` was given it."""

    archive: Path | None = None
    kept: str = ""


CODE = Code()


def call_python(
    entry: str, python: Path, verb: str, options: dict[str, Any], *, shares: bool = False
) -> dict[str, Any]:
    """Have a verb done by an entry, a module here whose ``main`` serves, and return its answer.

    The job goes through a pipe: a command line can be read by all users on the host. The databases' secrets go apart,
    and only the process that works on a database reads its own.

    Args:
        entry: the module's name.
        python: of the virtualenv.
        verb: what to do.
        options: of the job.
        shares: keep equal texts and lists of texts of the answer once, so that none may be changed: plans of thousands
            of databases have most of theirs in common.

    Raises:
        Refused: the virtualenv's process refused, could not start, or stopped with an error of its own.
    """
    packed = str(CODE.archive or str(Path(__file__)).split("/ansible_collections/", maxsplit=1)[0])
    known = {field.name for field in fields(Job)}  # whatever else the module was given is not for a customer's code
    with hand_over_secrets({name: value for name, value in options.items() if name in known}) as (public, entries):
        done = subprocess.run(
            [str(python), "-c", _ENTRY.format(utils=_UTILS, entry=entry), packed, CODE.kept],
            input=json.dumps({**public, "verb": verb}).encode(),
            capture_output=True,
            check=False,
            pass_fds=(entries,),
        )
    what = f"The {verb} crashed under {python}"
    printed = done.stdout.decode(errors="replace")
    done.stdout = b""  # of thousands of plans it is long, and has been decoded
    values: dict[Any, Any] = {}
    try:
        answer = json.loads(printed, object_pairs_hook=partial(_share_values, values) if shares else None)
    except ValueError:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        why = words[-1] if words else f"it ended with exit code {done.returncode} and printed nothing"
        raise Refused(what, why, "Ship the release again, or check migrate_virtualenv", code=CRASHED) from None
    if "crashed" in answer:
        raise Refused(
            what, answer["crashed"], "Run again; if it happens again, report it with its output", code=CRASHED
        )
    if "refused" in answer:
        raise Refused.of(answer["refused"])
    return dict(answer)


def _share_values(known: dict[Any, Any], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dictionary with the texts and lists of texts that are known already, where there are equal ones."""
    shared = {}
    for key, value in pairs:
        if isinstance(value, str):
            shared[key] = known.setdefault(value, value)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            shared[key] = known.setdefault(tuple(value), value)
        else:
            shared[key] = value
    return shared


def call_plan(python: Path, options: dict[str, Any]) -> list[PlanFacts]:
    """Return the plan of each database; the process loads only what plans take.

    Raises:
        Refused: as ``call_python``.
    """
    return list(call_python("_plan.entry", python, "plan", options, shares=True)["databases"])


def call_verb(python: Path, verb: str, options: dict[str, Any]) -> dict[str, Any]:
    """Have a verb done and return its answer.

    Raises:
        Refused: as ``call_python``.
    """
    return call_python("_verbs.entry", python, verb, options)
