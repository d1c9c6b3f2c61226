# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Printed commands, completed with how this ansible-playbook was started, so that they work where they are pasted.

A message holds a command in the form of ``playbook_command``: the verb and its variables. Inventory, vault, connection,
extra variables and limit are added here, and the playbook is named by its collection or by its path.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible import constants, context

from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import locate_playbook

from .extra_variables import select_repeated_variables

#: …/ansible_collections/hosting/alembic
COLLECTION = Path(__file__).parents[3]
_NAME = "hosting.alembic"
_WITH_NAMESPACE = re.compile(r"\w+\.\w+\.\w+")

#: One word as shlex quotes it; a name and a value, or JSON.
_WORD = r"""(?:[\w@%+=:,./-]|'[^'\n]*'|"'")+"""
_COMMAND = re.compile(rf"(?<![\w/=])ansible-playbook (?:playbooks/([a-z]+)|(migrate))\.yml((?: -e {_WORD})*)")
#: What is before a command that was completed already.
_ASSIGNED = re.compile(r"\bANSIBLE_[A-Z_]+=\S+ $")
_COLLECTIONS_PATH = "ANSIBLE_COLLECTIONS_PATH"

#: What a message of ours may set; anything else in such a command is text of others and stays as it is.
_OURS = {
    "migrate_accept_rows",
    "migrate_discover_accept",
    "migrate_end_maintenance",
    "migrate_prune",
    "migrate_prune_days",
    "migrate_restore_backup",
    "migrate_restore_databases",
    "migrate_restore_loses_writes",
    "migrate_restore_method",
    "migrate_restore_run",
    "migrate_retry_failed",
    "migrate_rollback_databases",
    "migrate_rollback_run",
    "migrate_run",
    "migrate_target",
}

#: Options of ansible-playbook that say how hosts are reached, by the name that Ansible knows them by.
_VALUES = {
    "private_key_file": ("--private-key", "DEFAULT_PRIVATE_KEY_FILE"),
    "remote_user": ("--user", "DEFAULT_REMOTE_USER"),
    "connection": ("--connection", "DEFAULT_TRANSPORT"),
    "timeout": ("--timeout", ""),
    "ssh_common_args": ("--ssh-common-args", ""),
    "sftp_extra_args": ("--sftp-extra-args", ""),
    "scp_extra_args": ("--scp-extra-args", ""),
    "ssh_extra_args": ("--ssh-extra-args", ""),
    "connection_password_file": ("--connection-password-file", "CONNECTION_PASSWORD_FILE"),
    "become_method": ("--become-method", "DEFAULT_BECOME_METHOD"),
    "become_user": ("--become-user", "DEFAULT_BECOME_USER"),
    "become_password_file": ("--become-password-file", "BECOME_PASSWORD_FILE"),
}
_FLAGS = {
    "ask_pass": ("--ask-pass", "DEFAULT_ASK_PASS"),
    "become": ("--become", "DEFAULT_BECOME"),
    "become_ask_pass": ("--ask-become-pass", "DEFAULT_BECOME_ASK_PASS"),
    "ask_vault_pass": ("--ask-vault-pass", "DEFAULT_ASK_VAULT_PASS"),
}
_FILES = ("private_key_file", "connection_password_file", "become_password_file")


@dataclass(frozen=True)
class Invocation:
    """The command line of this run, as far as a later command has to repeat it."""

    #: ansible-playbook, and before it what it needs in its environment.
    program: tuple[str, ...] = ("ansible-playbook",)
    #: How a verb's playbook is named: by the collection, or with this folder before its path.
    by_name: bool = False
    folder: str = ""
    #: A playbook of the user's own that this run was started with.
    own_playbooks: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    limit: str = ""
    variables: tuple[str, ...] = ()
    #: Names of extra variables that are not repeated: they may be secret, or only their author knows what they do.
    left_out: tuple[str, ...] = ()

    def complete_commands(self, text: str, host: str = "", *, migrates: bool = False) -> str:
        """Return a text with its commands as they are typed where this run was started.

        Args:
            text: may hold commands in the form of ``playbook_command``.
            host: the host they are meant for; else they are for the hosts of this run.
            migrates: whether this run migrates, so that to migrate again is to start it again.
        """

        def complete(found: re.Match[str]) -> str:
            words = shlex.split(found[3])
            if not _is_ours(words) or _ASSIGNED.search(text[: found.start()]):
                return found[0]
            return self.build_command(found[1] or found[2], words, host, migrates=migrates)

        return _COMMAND.sub(complete, text)

    def build_command(self, verb: str, words: list[str], host: str = "", *, migrates: bool = False) -> str:
        """Return the command that runs a verb; ``words`` set its own variables."""
        limit = host or self.limit
        options = [*self.options, *(["--limit", limit] if limit else [])]
        playbooks = self._list_playbooks(verb, migrates)
        return " ".join([*self.program, shlex.join([*options, *playbooks, *self.variables, *words])])

    def _list_playbooks(self, verb: str, migrates: bool) -> list[str]:
        if verb == "migrate" and migrates and self.own_playbooks:
            return list(self.own_playbooks)
        return [f"{_NAME}.{verb}" if self.by_name else os.path.join(self.folder, locate_playbook(verb))]

    def complete_all(self, value: Any, host: str = "") -> Any:
        """Return data with every text in it completed."""
        if isinstance(value, str):
            return self.complete_commands(value, host)
        if isinstance(value, Mapping):
            return {key: self.complete_all(each, host) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.complete_all(each, host) for each in value]
        return value

    def note(self, lines: Iterable[str]) -> list[str]:
        """Return what to add to commands in some lines, where this run was given more than they repeat."""
        if not self.left_out or not any("ansible-playbook " in line for line in lines):
            return []
        return [f"  Add to these commands what this run was given by -e: {', '.join(self.left_out)}"]


def _is_ours(words: list[str]) -> bool:
    """Return whether words of -e set nothing but what our messages set."""
    return set(_list_names(words)) <= _OURS


def _list_names(words: list[str]) -> Iterator[str]:
    for word in words:
        if word != "-e":
            yield from select_repeated_variables([word], lambda _name, _value: True).names


def find_invocation() -> Invocation:
    """Return how this process was started; of a program that is not ansible-playbook little is known."""
    return read_invocation(context.CLIARGS, Path.cwd())


def read_invocation(arguments: Mapping[str, Any], here: Path) -> Invocation:
    """Return how a run was started.

    Args:
        arguments: what Ansible made of its command line.
        here: the folder in which it was started.
    """
    playbooks = [str(word) for word in arguments.get("args") or ()]
    extra = select_repeated_variables(list(arguments.get("extra_vars") or ()))
    checkout = _find_checkout()
    by_name = checkout is None or any(_WITH_NAMESPACE.fullmatch(word) for word in playbooks)
    return Invocation(
        program=tuple(_list_program_words(here)),
        by_name=by_name,
        folder="" if by_name or checkout is None else _locate_folder(checkout, here),
        own_playbooks=tuple(playbooks) if playbooks and not all(map(_is_shipped, playbooks)) else (),
        options=tuple(_list_options(arguments, here)),
        limit=str(arguments.get("subset") or ""),
        variables=tuple(word for each in extra.words for word in ("-e", _from(each, here))),
        left_out=tuple(extra.left_out),
    )


def _find_checkout() -> Path | None:
    """Return the folder of the checkout that this collection is, or None where it is installed."""
    folder = (COLLECTION / "playbooks").resolve().parent
    return folder if folder != COLLECTION.resolve() and (folder / "migrate.yml").is_file() else None


def _is_shipped(playbook: str) -> bool:
    """Return whether a playbook is one of the collection's."""
    if _WITH_NAMESPACE.fullmatch(playbook):
        return playbook.startswith(f"{_NAME}.")
    path, checkout = Path(playbook).resolve(), _find_checkout()
    return path.parent == (COLLECTION / "playbooks").resolve() or bool(checkout and path == checkout / "migrate.yml")


def _list_program_words(here: Path) -> Iterator[str]:
    """Yield how ansible-playbook is called, with the collection's place where Ansible would not find it by itself."""
    settings = constants.CONFIG_FILE
    if "ANSIBLE_CONFIG" in os.environ and settings and not _is_found_from(here, Path(settings)):
        yield f"ANSIBLE_CONFIG={shlex.quote(_shorten_path(settings, here))}"
    paths, origin = constants.config.get_config_value_and_origin("COLLECTIONS_PATHS")
    if str(origin).startswith("env") or not any(map(holds_this_collection, [*paths, *sys.path])):
        yield f"{_COLLECTIONS_PATH}={shlex.quote(str(COLLECTION.parents[2]))}"
    typed = Path(sys.argv[0])
    found = shutil.which("ansible-playbook")
    if typed.name == "ansible-playbook" and not (found and Path(found).resolve() == typed.resolve()):
        yield shlex.quote(_shorten_path(str(typed.absolute()), here))
    else:
        yield "ansible-playbook"


def _is_found_from(here: Path, settings: Path) -> bool:
    """Return whether Ansible reads these settings by itself when it is started in a folder."""
    places = (here / "ansible.cfg", Path.home() / ".ansible.cfg", Path("/etc/ansible/ansible.cfg"))
    found = next((path for path in places if path.is_file()), None)
    return found is not None and found.resolve() == settings.resolve()


def holds_this_collection(folder: str) -> bool:
    """Return whether a folder of collections holds this one."""
    try:
        return Path(folder, "ansible_collections", "hosting", "alembic").samefile(COLLECTION)
    except OSError:
        return False


def _locate_folder(checkout: Path, here: Path) -> str:
    return "" if checkout == here.resolve() else _shorten_path(str(checkout), here)


def _list_options(arguments: Mapping[str, Any], here: Path) -> Iterator[str]:
    sources = [str(source) for source in arguments.get("inventory") or ()]
    if sources != _resolve_setting("DEFAULT_HOST_LIST"):
        for source in sources:
            yield from ("-i", source if "," in source else _shorten_path(source, here))
    for word in [*(arguments.get("vault_ids") or ()), *_of_this_shell("DEFAULT_VAULT_IDENTITY_LIST")]:
        yield from ("--vault-id", str(word))
    for path in [*(arguments.get("vault_password_files") or ()), *_of_this_shell("DEFAULT_VAULT_PASSWORD_FILE")]:
        yield from ("--vault-password-file", _shorten_path(str(path), here))
    yield from list_host_options(arguments, lambda path: _shorten_path(path, here))


def list_host_options(arguments: Mapping[str, Any], named: Callable[[str], str]) -> Iterator[str]:
    """Yield the options that say how hosts are reached, without those that may hold a password.

    Args:
        arguments: what Ansible made of its command line.
        named: returns how the path of a file is written.
    """
    for name, (option, default) in _FLAGS.items():
        if arguments.get(name) and not _resolve_setting(default):
            yield option
    for name, value in _list_values(arguments):
        if not _is_secret(name, value):
            yield from (_VALUES[name][0], named(value) if name in _FILES else value)


def list_secret_options(arguments: Mapping[str, Any]) -> list[str]:
    """Return the options of a command line that may hold a password."""
    return [_VALUES[name][0] for name, value in _list_values(arguments) if _is_secret(name, value)]


def _list_values(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the options that a later command would not have by itself."""
    for name, (_option, default) in _VALUES.items():
        value = arguments.get(name)
        if value and str(value) != str(_resolve_setting(default) if default else None):
            yield name, str(value)


def _resolve_setting(setting: str) -> Any:
    """Return a setting that a later command has too; one of this shell's environment may be gone by then."""
    value, origin = constants.config.get_config_value_and_origin(setting)
    return None if str(origin).startswith("env") else value


def _of_this_shell(setting: str) -> list[str]:
    """Return a setting that only the environment of this run has, as a list."""
    value, origin = constants.config.get_config_value_and_origin(setting)
    if not value or not str(origin).startswith("env"):
        return []
    return [str(each) for each in (value if isinstance(value, (list, tuple)) else [value])]


def _is_secret(name: str, value: str) -> bool:
    """Return whether arguments of ssh hold a password: a proxy's command may."""
    return name.endswith("_args") and "pass" in value.lower()


def _from(word: str, here: Path) -> str:
    """Return a word of -e; a file in it, which Ansible has made an absolute path, is named from here."""
    return f"@{_shorten_path(word[1:], here)}" if word.startswith("@") else word


def _shorten_path(path: str, here: Path) -> str:
    """Return a path from a folder on, where it lies below it."""
    try:
        return str(Path(path).relative_to(here)) if os.path.isabs(path) else path
    except ValueError:
        return path
