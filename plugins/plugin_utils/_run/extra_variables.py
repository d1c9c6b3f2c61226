# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The extra variables of a run that a printed command repeats: settings of ours that cannot be secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from ansible.parsing.splitter import parse_kv

from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_extra_variables

from .unknown_variables import list_known_variables

#: Decided for one run: a later command says itself what it is to do.
OF_ONE_RUN = re.compile(
    "migrate_(run|retry_failed|accept_rows|rollback_.*|restore_(run|backup|databases|loses_writes)|prune|end_maintenance"
    "|window_override|discover_accept|schedule_.*)"
)
#: May hold a password, a token or a URL with one.
MAY_BE_SECRET = re.compile(
    "migrate_(databases|discover|packages|pip_arguments|services|health_checks|pgbouncer_.*|.*_command)"
)


@dataclass
class Repeated:
    """Words for -e, and the names of what they set and of what they leave out."""

    words: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def is_repeated(name: str, value: Any) -> bool:
    """Return whether a variable is repeated: a known one that cannot hold a secret."""
    return name in list_known_variables() and not MAY_BE_SECRET.fullmatch(name) and "://" not in json.dumps(value)


def select_repeated_variables(given: list[str], wanted: Callable[[str, Any], bool] = is_repeated) -> Repeated:
    """Return what of the extra variables of a command line is repeated; a file of them is, by its name."""
    found = Repeated()
    for word in given:
        if word.startswith("@"):
            found.words.append(word)
            continue
        variables = parse_variables(word)
        if variables is None:
            found.left_out.append("what could not be read")
            continue
        kept = {}
        for name, value in variables.items():
            if wanted(name, value):
                kept[name] = value
            elif not OF_ONE_RUN.fullmatch(name):
                found.left_out.append(name)
        found.names += kept
        settings = {name: value for name, value in kept.items() if not OF_ONE_RUN.fullmatch(name)}
        found.words += [each for each in build_extra_variables(settings) if each != "-e"]
    return found


def parse_variables(word: str) -> dict[str, Any] | None:
    """Return the variables of one word of -e, as Ansible reads it; None where it cannot be read."""
    if not word.startswith(("{", "[")):
        return {name: value for name, value in parse_kv(word).items() if name != "_raw_params"}
    try:
        variables = yaml.safe_load(word)
        json.dumps(variables)
    except (yaml.YAMLError, TypeError, ValueError):
        return None
    return variables if isinstance(variables, dict) else None
