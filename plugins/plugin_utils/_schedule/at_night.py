# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check for what a scheduled run lacks: the environment and the terminal of the person who scheduled it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible import constants

from .._run.command_line import COLLECTION, holds_this_collection

_VAULT = b"$ANSIBLE_VAULT;"
_MOST_FILES = 5_000
_MOST_BYTES = 1_000_000
#: None of them is a secret.
_HOW_HOSTS_ARE_REACHED = (
    "ANSIBLE_BECOME",
    "ANSIBLE_BECOME_METHOD",
    "ANSIBLE_BECOME_PASSWORD_FILE",
    "ANSIBLE_BECOME_USER",
    "ANSIBLE_CONNECTION_PASSWORD_FILE",
    "ANSIBLE_PRIVATE_KEY_FILE",
    "ANSIBLE_REMOTE_USER",
)
_PROMPTING = (
    "-J", "--ask-vault-pass", "--ask-vault-password", "-k", "--ask-pass", "-K", "--ask-become-pass", "--step",
)  # fmt: skip
_VARIABLES = ("group_vars", "host_vars")


def environment(project: str) -> dict[str, str]:
    """Return the variables by which ansible-playbook finds at night what it finds now: its settings, and us."""
    paths, origin = constants.config.get_config_value_and_origin("COLLECTIONS_PATHS")
    now, then = _resolve_path(constants.CONFIG_FILE), _settings_in(project)
    found = {name: os.environ[name] for name in _HOW_HOSTS_ARE_REACHED if os.environ.get(name)}
    if now and now != then:
        found["ANSIBLE_CONFIG"] = str(constants.CONFIG_FILE)
    if str(origin).startswith("env") or (then and not now) or not any(map(holds_this_collection, paths)):
        places = [str(path) for path in paths]
        ours = str(COLLECTION.parents[2])
        found["ANSIBLE_COLLECTIONS_PATH"] = ":".join(dict.fromkeys([*places, ours]))
    return found


def _settings_in(folder: str) -> Path | None:
    """Return the settings that Ansible reads by itself when it is started in a folder."""
    places = (Path(folder) / "ansible.cfg", Path.home() / ".ansible.cfg", Path("/etc/ansible/ansible.cfg"))
    return next((path.resolve() for path in places if path.is_file()), None)


def _resolve_path(path: str | None) -> Path | None:
    return Path(path).resolve() if path else None


def missing_mailer() -> bool:
    """Return whether this machine has no program that sends a mail."""
    path = "/usr/sbin:/usr/lib:/sbin"
    return not (shutil.which("mail") or shutil.which("sendmail") or shutil.which("sendmail", path=path))


def vault_without_password(project: str, sources: Iterable[str], given: str, arguments: Iterable[str]) -> str:
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
    files = [*_files(project, sources), *_of_variables(project, words)]
    return next((str(path) for path in files if _is_encrypted(path)), "")


def find_prompting(arguments: Iterable[str]) -> str:
    """Return an argument by which ansible-playbook prompts for a password, which nothing types at night."""
    return next((word for word in arguments if word in _PROMPTING or word.endswith("@prompt")), "")


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


def _files(project: str, sources: Iterable[str]) -> Iterator[Path]:
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
