# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands that messages print: one form, which the controller completes with what a host does not know.

A host knows the verb and its variables. The inventory, the vault, the limit and the place of the playbook are known
to the controller, which replaces this form wherever it prints (plugin_utils/_run/command_line.py).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

#: Values that ``-e name=value`` takes as they are; everything else is written as JSON.
_PLAIN = re.compile(r"[\w./@:+-]+")
#: What each way out of a held database is for, by its key in journals and results, in the order of printing.
_PURPOSES = {
    "back": "to restore the old state",
    "back_by_user": "to restore the old state as the database's own user",
    "forward": "to continue",
    "accept": "to continue with these rows",
}


def build_playbook_command(verb: str, **variables: Any) -> str:
    """Return what runs a verb's playbook with some variables, as it is typed in a checkout."""
    return shlex.join(["ansible-playbook", locate_playbook(verb), *build_extra_variables(variables)])


def locate_playbook(verb: str) -> str:
    """Return where a verb's playbook lies in a checkout."""
    return "migrate.yml" if verb == "migrate" else f"playbooks/{verb}.yml"


def build_extra_variables(variables: dict[str, Any]) -> list[str]:
    """Return the words that set some variables; text that ansible would split or convert goes into JSON."""
    plain = {name: value for name, value in variables.items() if isinstance(value, str) and _PLAIN.fullmatch(value)}
    rest = {name: value for name, value in variables.items() if name not in plain}
    words = [word for name, value in plain.items() for word in ("-e", f"{name}={value}")]
    return words + (["-e", json.dumps(rest)] if rest else [])


def list_ways_out(ways_out: Mapping[str, str]) -> list[str]:
    """Return the ways out, each on a line that can be copied as a whole.

    Args:
        ways_out: the commands by key, as a journal or a result has them.
    """
    return [f"{purpose}: {ways_out[way]}" for way, purpose in _PURPOSES.items() if way in ways_out]


def indent_ways_out(ways_out: Mapping[str, str]) -> list[str]:
    """Return the same as lines below those of a held database."""
    return [f"  {line[0].upper()}{line[1:]}" for line in list_ways_out(ways_out)]


def append_ways_out(ways_out: Mapping[str, str]) -> str:
    """Return the ways out as the lines that end the message of a held database."""
    return "".join(f"\n{line}" for line in indent_ways_out(ways_out))
