# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check for what a scheduled run lacks: the environment and the terminal of the person who scheduled it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from ansible import constants
from ansible.cli.playbook import PlaybookCLI

from .._run.command_line import COLLECTION, holds_this_collection

_VAULT = b"$ANSIBLE_VAULT;"
_MOST_FILES = 5_000
_MOST_BYTES = 1_000_000
#: How hosts are reached, and as whom.
_HOW_HOSTS_ARE_REACHED = re.compile(
    r"ANSIBLE_(?:BECOME|CONNECTION_\w+|EXECUTABLE|HOST_KEY_CHECKING|PIPELINING|PRIVATE_KEY_FILE|PYTHON_INTERPRETER"
    r"|TIMEOUT|TRANSPORT|(?:BECOME|PARAMIKO|PERSISTENT|REMOTE|SCP|SFTP|SHELL|SSH|SU|SUDO)_\w+)"
)
_SOUNDS_SECRET = re.compile(r"(?:PASS|PASSWORD|PASSPHRASE|TOKEN|SECRET|PRIVATE_KEY)$")
#: What only concerns this terminal, or is taken care of elsewhere.
_OF_THIS_SHELL = re.compile(
    r"ANSIBLE_(?:CONFIG|COLLECTIONS_PATHS?|HOME|LOCAL_TEMP|INVENTORY|VAULT_\w+|DEBUG|VERBOSITY|FORCE_COLOR|NOCOLOR|NOCOWS"
    r"|LOG_PATH|KEEP_REMOTE_FILES|\w*CALLBACK\w*|(?:COW|COLOR|DISPLAY|CHECK|DIFF|TEST|GALAXY|DOC|LINT)_\w+)"
)
_NO_TERMINAL = ("ask_pass", "become_ask_pass", "ask_vault_pass", "step")
_VARIABLES = ("group_vars", "host_vars")


def build_environment(project: str) -> dict[str, str]:
    """Return the variables by which ansible-playbook finds at night what it finds now: its settings, and us."""
    paths, origin = constants.config.get_config_value_and_origin("COLLECTIONS_PATHS")
    now, then = _resolve_path(constants.CONFIG_FILE), _find_settings(project)
    found = {name: value for name, value in sorted(os.environ.items()) if value and _is_taken_over(name)}
    if now and now != then:
        found["ANSIBLE_CONFIG"] = str(constants.CONFIG_FILE)
    if str(origin).startswith("env") or (then and not now) or not any(map(holds_this_collection, paths)):
        places = [str(path) for path in paths]
        ours = str(COLLECTION.parents[2])
        found["ANSIBLE_COLLECTIONS_PATH"] = ":".join(dict.fromkeys([*places, ours]))
    return found


def _is_taken_over(name: str) -> bool:
    return bool(_HOW_HOSTS_ARE_REACHED.fullmatch(name)) and not _SOUNDS_SECRET.search(name)


def list_lost_settings(arguments: Iterable[str]) -> list[str]:
    """Return, as warnings, what this shell has set and a scheduled run has not.

    Args:
        arguments: of ansible-playbook.
    """
    names = sorted(name for name, value in os.environ.items() if value and name.startswith("ANSIBLE_"))
    lost = [name for name in names if not _is_taken_over(name) and not _OF_THIS_SHELL.fullmatch(name)]
    warnings = []
    if lost:
        warnings.append(
            f"{', '.join(lost)}: set in this shell, and not in a scheduled run. Write what it needs into ansible.cfg."
        )
    key_files = constants.config.get_config_value("DEFAULT_PRIVATE_KEY_FILE")
    names_key = key_files or any(word.startswith(("--private-key", "--key-file")) for word in arguments)
    if os.environ.get("SSH_AUTH_SOCK") and not names_key:
        warnings.append(
            "This shell has an SSH agent, and a scheduled run has none. If hosts are reached with a key that only the"
            " agent has, name its file: private_key_file in ansible.cfg, or ansible_ssh_private_key_file of the hosts."
        )
    return warnings


def _find_settings(folder: str) -> Path | None:
    """Return the settings that Ansible reads by itself when it is started in a folder."""
    places = (Path(folder) / "ansible.cfg", Path.home() / ".ansible.cfg", Path("/etc/ansible/ansible.cfg"))
    return next((path.resolve() for path in places if path.is_file()), None)


def _resolve_path(path: str | None) -> Path | None:
    return Path(path).resolve() if path else None


def lacks_mailer() -> bool:
    """Return whether this machine has no program that sends a mail."""
    path = "/usr/sbin:/usr/lib:/sbin"
    return not (shutil.which("mail") or shutil.which("sendmail") or shutil.which("sendmail", path=path))


def find_vault_without_password(project: str, sources: Iterable[str], given: str, arguments: Iterable[str]) -> str:
    """Return a file of the inventory that is encrypted and that a scheduled run could not open, or nothing.

    Args:
        project: the folder that it runs in.
        sources: its inventories.
        given: the file with the vault's password, or nothing.
        arguments: of ansible-playbook.
    """
    words = list(arguments)
    if given or any("vault" in word for word in words) or _is_set_for_all():
        return ""
    files = [*_list_files(project, sources), *_of_variables(project, words)]
    return next((str(path) for path in files if _is_encrypted(path)), "")


def find_prompting(arguments: Iterable[str]) -> str:
    """Return an argument by which ansible-playbook prompts for a password, which nothing types at night."""
    words = list(arguments)
    if not _is_prompting(words):
        return ""
    return next((word for word in words if _is_prompting([word])), "") or " ".join(words)


def _is_prompting(words: list[str]) -> bool:
    """Return whether Ansible's own parser finds in some words that it is to prompt: it takes -bK and --ask-become-p."""
    program = PlaybookCLI(["ansible-playbook", *words, "playbook.yml"])
    program.init_parser()
    program.parser.error = _refuse_words
    try:
        options, _rest = program.parser.parse_known_args(program.args[1:])
    except (_NotParsed, SystemExit):  # ansible-playbook refuses them itself
        return any(word.endswith("@prompt") for word in words)
    identities = getattr(options, "vault_ids", None) or ()
    return any(getattr(options, name, False) for name in _NO_TERMINAL) or any(
        str(identity) == "prompt" or str(identity).endswith("@prompt") for identity in identities
    )


class _NotParsed(Exception):
    pass


def _refuse_words(message: str) -> NoReturn:
    raise _NotParsed(message)


def _of_variables(project: str, words: list[str]) -> Iterator[Path]:
    """Yield the files of extra variables: -e @file, -e@file, --extra-vars=@file."""
    for word in words:
        _option, is_file, name = word.rpartition("@")
        path = Path(project, name)
        if is_file and name and path.is_file():
            yield path


def _is_set_for_all() -> bool:
    """Return whether settings, and not this shell's environment, name a file with the vault's password."""
    for name in ("DEFAULT_VAULT_PASSWORD_FILE", "DEFAULT_VAULT_IDENTITY_LIST"):
        value, origin = constants.config.get_config_value_and_origin(name)
        if value and not str(origin).startswith("env"):
            return True
    return False


def _list_files(project: str, sources: Iterable[str]) -> Iterator[Path]:
    for source in sources:
        path = Path(project, source)
        if "," in source or not path.exists():
            continue
        if path.is_file():
            yield path
        folders = [path] if path.is_dir() else [path.parent / name for name in _VARIABLES]
        for folder in folders:
            for _number, found in zip(range(_MOST_FILES), folder.rglob("*")):
                if found.is_file():
                    yield found


def _is_encrypted(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return _VAULT in handle.read(_MOST_BYTES)
    except OSError:
        return False
