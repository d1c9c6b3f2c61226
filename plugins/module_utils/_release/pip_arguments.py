# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments of pip that hold a secret: all users on the host can read a command line, and not an environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from .._core.paths import write_durably
from .._core.secrets import list_credentials

# Each option by its names, and its variable in pip's environment; a list is separated by spaces.
_VARIABLES = {
    "--index-url": "PIP_INDEX_URL",
    "-i": "PIP_INDEX_URL",
    "--pypi-url": "PIP_INDEX_URL",
    "--extra-index-url": "PIP_EXTRA_INDEX_URL",
    "--find-links": "PIP_FIND_LINKS",
    "-f": "PIP_FIND_LINKS",
    "--proxy": "PIP_PROXY",
}
_LISTS = ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
# Each pip that builds a package would take these from the environment too, and install the file again.
_FILES = {"--requirement": "-r", "-r": "-r", "--constraint": "-c", "-c": "-c"}
#: What a file beside a virtualenv that holds secrets while pip runs ends in.
SECRET_FILES = NETRC, ARGUMENTS, PACKAGES = "netrc", "arguments", "packages"
_WITH_NETRC = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
#: What every Python reads from a netrc as it is there.
_LOGIN = re.compile(r"(https?://)([^\s:@/\"'\\#]+):([^\s:@/\"'\\#]+)@([\w.-]+)((?::\d+)?(?:[/?]\S*)?)")


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Return the arguments for a command line, and what may not be on it: variables, and lines of a file for it."""
    plain: list[str] = []
    lines: list[str] = []
    variables: dict[str, str] = {}
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        option, value, used = _parse_option(word, waiting)
        variable = _VARIABLES.get(option, "")
        if not (variable or option in _FILES) or not any(list_credentials(value)):
            plain += [word, *used]
        elif option in _FILES:
            lines.append(f"{_FILES[option]} {value}")
        elif variable in _LISTS:
            known = variables.get(variable, os.environ.get(variable, ""))
            variables[variable] = f"{known} {value}".strip()
        else:
            variables[variable] = value
        del waiting[: len(used)]
    return plain, variables, lines


def _parse_option(word: str, following: Sequence[str]) -> tuple[str, str, list[str]]:
    """Return an option, its value, and the further words that it takes."""
    name, equals, value = word.partition("=")
    if name.startswith("--") and equals:
        return _complete_option(name), value, []
    if word[:2] in ("-i", "-f", "-r", "-c") and len(word) > 2:
        return word[:2], word[2:].lstrip("="), []
    if _complete_option(word) in {*_VARIABLES, *_FILES} and following:
        return _complete_option(word), following[0], [following[0]]
    return word, "", []


def _complete_option(option: str) -> str:
    """Return an option by its whole name: pip takes the beginning of one, as long as it has one such option."""
    known = {**_VARIABLES, **_FILES}
    found = [name for name in known if option.startswith("--") and name.startswith(option)]
    return found[0] if len({known[name] for name in found}) == 1 else option


def split_netrc(variables: dict[str, str]) -> tuple[dict[str, str], str]:
    """Return the variables without passwords, and a netrc with them, as far as both mean the same.

    Where a package is built from its source, pip repeats the addresses of indexes on the command line of another pip.
    """
    logins: dict[str, tuple[str, str]] = {}
    kept = dict(variables)
    for variable in _WITH_NETRC:
        words = []
        for word in variables.get(variable, "").split():
            found = _LOGIN.fullmatch(word)
            if found:
                scheme, user, password, host, rest = found.groups()
                login = (unquote(user), unquote(password))
                # A host has one entry, and what is encoded for a reason is none of a netrc's words.
                if login == (user, password) and logins.setdefault(host, login) == login:
                    word = f"{scheme}{host}{rest}"  # noqa: PLW2901
            words.append(word)
        if variable in kept:
            kept[variable] = " ".join(words)
    return kept, "".join(f"machine {host} login {user} password {word}\n" for host, (user, word) in logins.items())


def split_packages(packages: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the packages for a command line, and those whose address holds a secret, for a file."""
    secret = [package for package in packages if any(list_credentials(package))]
    return [package for package in packages if package not in secret], secret


def remove_left_secrets(virtualenvs: Path) -> None:
    """Remove what an installation that was killed has left beside a virtualenv; the caller holds the lock."""
    for kind in SECRET_FILES:
        for path in virtualenvs.glob(f".*.{kind}"):
            path.unlink()


@contextmanager
def hide_secrets(
    virtualenv: Path, variables: dict[str, str], lists: dict[str, list[str]]
) -> Iterator[tuple[dict[str, str], dict[str, list[str]]]]:
    """Yield variables for pip, and arguments for each list of lines that hold a secret; their files go again."""
    variables, logins = split_netrc(variables)
    known = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    netrc, *listed = (virtualenv.with_name(f".{virtualenv.name}.{kind}") for kind in (NETRC, *lists))
    try:
        if logins:
            write_durably(netrc, logins + (known.read_text() if known.is_file() else ""))
            variables["NETRC"] = str(netrc)
        for path, lines in zip(listed, lists.values()):
            write_durably(path, "".join(f"{line}\n" for line in lines))
        yield variables, {kind: ["-r", str(path)] * bool(lists[kind]) for kind, path in zip(lists, listed)}
    finally:
        for path in (netrc, *listed):
            path.unlink(missing_ok=True)
