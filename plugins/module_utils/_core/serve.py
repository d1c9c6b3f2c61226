# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""One job in a process under the virtualenv's Python, which answers with data.

The job comes on standard input and the answer goes to what was standard output, so that neither secrets nor what
env.py prints can get between.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from .entries import ENTRIES
from .errors import Refused, describe_cause
from .job import Database, Job
from .masking import Mask, learn, mask_data, mask_text
from .processes import prepare_each
from .secrets import mask_for

#: The users' commands, which may have passwords among their words.
_COMMANDS: dict[str, Any] = {}


def with_secrets(before: Callable[[], None], item: Any) -> Any:
    """Return databases with their secrets, in the process that works on them; it gets at no others from now on.

    Args:
        before: is called before any secret is read, where env.py is to run in a process that never held one.
        item: one database, or several.
    """
    databases = item if isinstance(item, list) else [item]
    if ENTRIES.descriptor < 0 or not all(isinstance(database, Database) for database in databases):
        ENTRIES.close()
        return item
    if isinstance(item, Database) and ENTRIES.needs_own_process(item.name):
        before()
    entries = [ENTRIES.find_entry(database.name) for database in databases]
    ENTRIES.close()
    learn(functools.partial(_mask_of, entries))
    whole = [Database.from_options(entry) if entry else database for entry, database in zip(entries, databases)]
    return whole if isinstance(item, list) else whole[0]


def _mask_of(entries: list[dict[str, Any] | None]) -> Mask:
    return mask_for({**_COMMANDS, "databases": entries})


def clean_for(name: str) -> Callable[[str], str]:
    """Return what keeps a database's secrets out of words, in a process that runs nothing of a customer's."""
    entry = ENTRIES.find_entry(name)
    return mask_text if entry is None else _mask_of([entry]).hide_in_text


def serve(do: Callable[[Job], dict[str, Any]], before_secrets: Callable[[], None]) -> None:
    """Read a job, do it, answer.

    Args:
        do: the job.
        before_secrets: is called in each process that works on one database, before it reads a secret of it.
    """
    options = json.load(sys.stdin)
    answer_to = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.chdir("/")
    learn(functools.partial(mask_for, dict(options)))
    _COMMANDS.update({name: value for name, value in options.items() if name.endswith("_command")})
    ENTRIES.receive(options.pop("entries", None))
    prepare_each(functools.partial(with_secrets, before_secrets))
    try:
        answer = do(Job.from_options(options.pop("verb"), options))
    except Refused as refusal:
        answer = {"refused": refusal.as_facts()}
    except Exception as error:  # noqa: BLE001 - a traceback may hold secrets, and only its last line would be read
        answer = {"crashed": describe_cause(error)}
    with os.fdopen(answer_to, "w") as handle:
        json.dump(mask_data(answer), handle, default=str)
