# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the command line of schedule.yml: a scheduled run gets the same, or the schedule is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_extra_variables

from .._run.command_line import list_host_options, list_secret_options
from .._run.extra_variables import MAY_BE_SECRET, OF_ONE_RUN, parse_variables

_SOUNDS_SECRET = re.compile(r"pass(word|wd|phrase)?$|pass_|secret|token|credential|authorization|api_?key|private_key$")
_URL_WITH_PASSWORD = re.compile(r"://[^/\s\"]*:[^/\s\"]*@")
#: Neither a list nor a URL nor an option of a program.
_PLAIN = re.compile(r"[\w.,/-]*")
_OWN = "migrate_schedule_"
_EXTRA = ("-e", "--extra-vars")
_NAME_A_FILE = "a script that is read later is not a place for it: write it into a file of your own, and give -e @FILE"


@dataclass
class Given:
    """Words for ansible-playbook, and why others cannot be repeated."""

    words: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def read_given(arguments: Mapping[str, Any], here: Path) -> Given:
    """Return what a scheduled run repeats of the command line that schedules it.

    Args:
        arguments: what Ansible made of that command line.
        here: the folder in which it was typed; a scheduled run may begin in another.
    """
    found = Given()
    for word in arguments.get("vault_ids") or ():
        found.words += ["--vault-id", _complete_path(str(word), here)]
    for path in arguments.get("vault_password_files") or ():
        found.words += ["--vault-password-file", str(here / path)]
    found.words += list_host_options(arguments, lambda path: str(here / path))
    for option in list_secret_options(arguments):
        found.refused.append(f"{option} may hold a password: set its variable in a file of the inventory.")
    if arguments.get("subset") and arguments["subset"] != "localhost":
        found.refused.append("--limit is this command's own: give it in migrate_schedule_arguments.")
    for word in arguments.get("extra_vars") or ():
        _read_extra(str(word), found)
    return found


def list_secret_arguments(words: Iterable[str]) -> Iterator[str]:
    """Yield why words of migrate_schedule_arguments cannot be written into the script."""
    before = ""
    for word in words:
        option, equals, value = word.partition("=")
        if before in _EXTRA:
            yield from _list_secrets(word)
        elif option == "--extra-vars" and equals:
            yield from _list_secrets(value)
        elif word.startswith("-e") and len(word) > len("-e"):
            yield from _list_secrets(word[len("-e") :])
        before = word


def _read_extra(word: str, found: Given) -> None:
    if word.startswith("@"):
        found.words += ["-e", word]
        return
    variables = parse_variables(word)
    if variables is None:
        found.refused.append("What -e gives cannot be read: write it into a file, and give -e @FILE.")
        return
    kept = {}
    for name, value in variables.items():
        if name.startswith(_OWN):
            continue
        if OF_ONE_RUN.fullmatch(name):
            found.refused.append(f"-e {name} is meant for one run, and a schedule begins many.")
        elif may_hold_secret(name, value):
            found.refused.append(_describe_refusal(name))
        else:
            kept[name] = value
    found.words += build_extra_variables(kept)


def _list_secrets(word: str) -> Iterator[str]:
    variables = None if word.startswith("@") else parse_variables(word)
    for name, value in (variables or {}).items():
        if may_hold_secret(name, value):
            yield _describe_refusal(name)


def may_hold_secret(name: str, value: Any) -> bool:
    """Return whether an extra variable is or contains what only its owner may read."""
    text = value if isinstance(value, str) else json.dumps(value)
    if MAY_BE_SECRET.fullmatch(name) and not _PLAIN.fullmatch(text):
        return True
    return _is_like_secret({name: value}) or bool(_URL_WITH_PASSWORD.search(text))


def _is_like_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_SOUNDS_SECRET.search(str(key).lower()) or _is_like_secret(each) for key, each in value.items())
    return isinstance(value, list) and any(map(_is_like_secret, value))


def _describe_refusal(name: str) -> str:
    return f"-e {name} may hold a secret, and {_NAME_A_FILE}."


def _complete_path(word: str, here: Path) -> str:
    """Return a vault's identity with the whole path of its file."""
    label, at, path = word.rpartition("@")
    return word if path == "prompt" or not (here / path).is_file() else f"{label}{at}{here / path}"
