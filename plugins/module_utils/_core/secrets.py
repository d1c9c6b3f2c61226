# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets among a module's options, and the names beside them that are shown."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_plus

from .argument_specs import Options
from .masking import Mask

_URLS = ("url", "direct_url", "admin_url", "rehearse_url")
_PASSWORDS = ("password", "admin_password", "rehearse_password")
_URL = re.compile(r"([\w.+-]+)://(\S*)", re.DOTALL)
_NAMES_A_SECRET = re.compile(
    r"pass(?!file)|pwd|secret|token|credential|(?:api|access|private|encryption|signing|master)[-_]?key|signature"
    r"|authorization|cookie",
    re.IGNORECASE,
)
#: The value of a name that ends so is a place, or a number, about a secret.
_NAMES_A_PLACE = re.compile(r"(?:file|path|dir|directory|folder)$", re.IGNORECASE)
_NAMES_A_NUMBER = re.compile(
    r"[_-](?:length|size|ttl|timeout|seconds|minutes|hours|days|lifetime|age|rounds|iterations|count|port)$",
    re.IGNORECASE,
)
_SWITCH = re.compile(r"|true|false|yes|no|on|off|none|null", re.IGNORECASE)
_HARMLESS_VALUE = re.compile(r"[0-9.:]*|(?i:true|false|yes|no|on|off|none|null)|/[\w./-]*")
#: A word of a command that names a program, a format, a switch.
_PLAIN_WORD = re.compile(
    r"-{0,2}[a-z_]+(?:-[a-z_]+)*|-[A-Za-z]|[\w@-]+\.(?:service|socket|target|timer|ya?ml)", re.ASCII
)
_LARGEST_PASSFILE = 1 << 16  # bytes
_FIELDS_OF_PASSFILE = 5
_SHORTEST_VALUE = 6  # an environment is full of short words

#: A user and a password, where SQLAlchemy finds them: a password may hold anything but an @.
_USER = re.compile(r"(?<=://)[^:/]*(?::[^@]*)?@")

#: Why a user name or a password makes another URL of it than was meant.
NOT_ENCODED = "in a user name or a password, each of % @ : / ? # means something else unless it is percent-encoded"


@dataclass
class Found:
    """Secrets, and names that are shown."""

    secrets: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)

    def mask(self) -> Mask:
        """Return what blanks the one and leaves the other."""
        return Mask(self.secrets, self.shown)


def mask_for(options: Options) -> Mask:
    """Return the mask of a module's options, or of a job's."""
    found = Found()
    for option, take in (("databases", _of_database), ("discover", _of_source), ("checks", _of_check)):
        for entry in filter(_is_mapping, options.get(option) or []):
            take(entry, found)
    for service in filter(_is_mapping, options.get("services") or []):
        found.shown |= {str(service.get("name") or "")}
        for name in COMMANDS_OF_A_SERVICE:
            _of_command(_as_words(service.get(name)), found)
    _of_alembic(options.get("alembic_options") or {}, found)
    for url in _list_text(options, "pgbouncer_url"):
        _of_database_url(url, found)
    found.secrets |= set(_list_text(options, "pgbouncer_password"))
    for installation in (options, options.get("installation") or {}):
        for word in [*(installation.get("pip_arguments") or []), *(installation.get("packages") or [])]:
            for address in _URL.finditer(str(word)):
                found.secrets |= set(list_credentials(address[0]))
    for name in COMMANDS:
        _of_command(_as_words(options.get(name)), found)
    found.shown |= {str(options[name]) for name in ("root", "run", "release", "target") if options.get(name)}
    return found.mask()


def _of_check(check: Options, found: Found) -> None:
    _of_web_address(str(check.get("url") or ""), found)
    for name, value in (check.get("headers") or {}).items():
        _of_header(str(name), str(value), found)


def _of_alembic(options: Options, found: Found) -> None:
    for name, value in options.items():
        found.shown |= {str(name)}
        if name not in _OPTIONS_OF_ALEMBIC:
            _of_value(str(name), str(value), found)


def _is_mapping(entry: Any) -> bool:
    return isinstance(entry, dict)


def describe_encoding_remedy(option: str = "password") -> str:
    """Return how to give a password that holds any character; ``option`` takes it as it is."""
    return (
        f"Write the password into `{option}` beside the URL, as it is, and leave it out of the URL. Or percent-encode"
        " it there: % is %25, @ is %40, : is %3A, / is %2F, ? is %3F, # is %23"
    )


def strip_user(url: str) -> str:
    """Return a URL without its user name and password, which may hold what ends a host elsewhere."""
    return _USER.sub("", url, count=1)


def list_credentials(address: str) -> Iterator[str]:
    """Yield what is before the @ of a URL: the password, else the user, which then is a token."""
    rest = address.partition("://")[2].split("?", 1)[0]
    server, _slash, path = rest.partition("/")
    _name, colon, port = server.partition(":")
    if "@" not in server and not (colon and not port.isdigit() and "@" in path):
        return  # what is before a later @ is a path, unless a slash is in the password as it is
    before, at, _host = (server if "@" in server else rest).rpartition("@")
    if at and before:
        user, colon, password = before.partition(":")
        word = password if colon and password else user
        yield word
        yield unquote(word)
        if colon:
            yield before


def _of_database(entry: Options, found: Found) -> None:
    found.shown |= {str(entry.get("name") or "")}
    for name in _URLS:
        for url in _list_text(entry, name):
            _of_database_url(url, found)
    for name in _PASSWORDS:
        found.secrets |= set(_list_text(entry, name))
    environment = entry.get("environment") or {}
    found.shown |= set(map(str, environment))
    for name, value in environment.items():
        _of_value(str(name), str(value), found)
    for argument in map(str, entry.get("x_arguments") or []):
        name, equals, value = argument.partition("=")
        _of_value(name if equals else "", value if equals else name, found)
        found.shown |= {name} if equals else set()


def _of_source(source: Options, found: Found) -> None:
    """Take the secrets of what is queried for databases, and those of the template of their entries."""
    _of_database({key: source.get(key) for key in ("name", "url", "password")}, found)
    template = {key: value for key, value in (source.get("template") or {}).items() if isinstance(value, str)}
    # A text with a column in it is a secret only once that is filled in.
    whole = {key: value for key, value in template.items() if "{" not in value}
    _of_database({**whole, **{key: source["template"].get(key) for key in ("environment", "x_arguments")}}, found)
    _of_command(_as_words(source.get("command")), found)


def _as_words(command: Any) -> list[str]:
    """Return the words of a command; any other value is refused elsewhere, and may hold a secret all the same."""
    return [str(word) for word in command] if isinstance(command, (list, tuple)) else str(command or "").split()


def _of_command(words: list[str], found: Found) -> None:
    """Take what may be a password among the words of a user's command, be it in a script in quotes."""
    tokens: list[str] = []
    for word in words:
        try:
            tokens += shlex.split(word) if any(character.isspace() for character in word) else [word]
        except ValueError:  # a quote that is not closed
            tokens += word.split()
    for sequence in (words, tokens):
        for before, token in zip(["", *sequence], sequence):
            _of_word(before, token, found, whole=any(character.isspace() for character in token))


def _of_word(before: str, word: str, found: Found, *, whole: bool) -> None:
    """Take a word of a command for a secret unless it is a program, a switch, a path or a placeholder.

    Args:
        before: the word before it.
        word: the word.
        found: receives it.
        whole: it may be a script, whose words are read one by one: then only what is named as a secret is one.
    """
    name, equals, value = word.partition("=")
    value = value if equals else word
    is_named = _NAMES_A_SECRET.search(name) if equals else before.startswith("-") and _NAMES_A_SECRET.search(before)
    header, colon, rest = word.partition(": ")
    if before in ("-u", "--user") and ":" in word:
        found.secrets.add(word.partition(":")[2])
    if colon and _NAMES_A_SECRET.search(header) and not any(map(str.isspace, header)):
        _of_header(header, rest, found)
    if "://" in value:
        _of_web_address(value, found, is_shown=False)
    elif is_named:
        found.secrets |= set() if value.startswith("{") else {value}
    elif word.startswith("-p") and _may_be_secret(word[2:]):
        found.secrets.add(word[2:])
    elif not whole and "{" not in value and not _PLAIN_WORD.fullmatch(value) and _may_be_secret(value):
        found.secrets |= set() if value.startswith(("/", "./", "../", "~/")) else {value}


def _of_passfile(path: str, found: Found) -> None:
    """Take the passwords of a file of libpq: the last field of each line."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        lines = file.read(_LARGEST_PASSFILE).decode(errors="replace").splitlines()
    fields = [re.split(r"(?<!\\):", line) for line in lines if not line.startswith("#")]
    found.secrets |= {re.sub(r"\\(.)", r"\1", each[4]) for each in fields if len(each) == _FIELDS_OF_PASSFILE}


def _of_value(name: str, value: str, found: Found) -> None:
    """Take a value for a secret, but of an address only what opens it: where it leads has to be shown."""
    if _URL.fullmatch(value.strip()):
        _of_database_url(value, found)
        found.secrets |= set(list_credentials(value))
    elif _is_secret(name, value):
        found.secrets.add(value)


def _is_secret(name: str, value: str) -> bool:
    """Return whether a value is a secret: by its name, whatever it looks like, else if it looks like one.

    A short one is hidden only where it is a word of its own, see ``Mask``.
    """
    if not _NAMES_A_SECRET.search(name):
        return _may_be_secret(value)
    is_place = _NAMES_A_PLACE.search(name) and value.startswith("/")
    is_number = _NAMES_A_NUMBER.search(name) and value.isdigit()
    return not (is_place or is_number or _SWITCH.fullmatch(value))


def _of_database_url(url: str, found: Found) -> None:
    """Take a database's URL apart where SQLAlchemy does, and where it does not, because it was mistyped."""
    match = _URL.fullmatch(url.strip())
    if not match:
        return
    scheme, rest = match.groups()
    address, _mark, query = rest.partition("?")
    if "@" in query and "@" not in address:  # a question mark that is in the password as it is
        before, _at, query = rest.rpartition("@")
        address, _mark, query = f"{before}@{query}".partition("?") if "?" in query else (f"{before}@{query}", "", "")
    before, at, host = address.rpartition("@")
    user, _colon, password = before.partition(":")
    first = re.match(r"[^:/]*:([^@]*)@", rest)
    for word in {password, first[1] if first else ""} - {""}:
        found.secrets |= {word, unquote(word), unquote_plus(word)}
    found.shown |= {user, unquote(user), host, host.partition("/")[0], host.partition("/")[2]} - {""}
    found.shown |= {f"{scheme}://{user}{at}{host}", f"{scheme}://{host}", f"{scheme}://{user}:***@{host}"}
    for pair in query.split("&"):
        name, _equals, value = pair.partition("=")
        if name == "passfile" and value:
            _of_passfile(unquote_plus(value), found)
        if _NAMES_A_SECRET.search(name) and value:
            found.secrets |= {value, unquote_plus(value), unquote(value)}


def _of_web_address(url: str, found: Found, *, is_shown: bool = True) -> None:
    """Return the place of a page's address: what is before the @ and behind the question mark opens it."""
    found.secrets |= set(list_credentials(url))
    place, _mark, query = url.partition("?")
    host = place.partition("://")[2].rpartition("@")[2]
    found.shown |= {host, host.partition("/")[0]} - {""} if is_shown else set()
    for pair in query.partition("#")[0].split("&"):
        name, equals, value = pair.partition("=")
        name, value = (name, value) if equals else ("", pair)
        if value and _is_secret(unquote_plus(name), value):
            found.secrets |= {value, unquote_plus(value)}


def _of_header(name: str, value: str, found: Found) -> None:
    """Take a header's value, without its first word: ``Bearer`` and ``Basic`` are known to all users."""
    kind, _space, rest = value.partition(" ")
    word = (rest or kind).strip()
    if _is_secret(name, word):
        found.secrets.add(word)


def _may_be_secret(value: str) -> bool:
    return len(value) >= _SHORTEST_VALUE and not _HARMLESS_VALUE.fullmatch(value)


def _list_text(options: Options, name: str) -> list[str]:
    value = options.get(name)
    return [value] if isinstance(value, str) and value else []


#: Commands of the user, as lists of words, among which may be passwords.
COMMANDS = ("backup_command", "backup_check_command", "backup_copy_command", "restore_command")


#: The same of an entry of migrate_services.
COMMANDS_OF_A_SERVICE = ("start", "stop", "status", "ready")

#: Options of Alembic itself. None of them is a secret, and errors name their values.
_OPTIONS_OF_ALEMBIC = frozenset(
    """
    script_location version_locations version_path_separator path_separator prepend_sys_path file_template timezone
    truncate_slug_length revision_environment sourceless recursive_version_locations output_encoding databases
    version_table version_table_schema
    """.split()  # noqa: SIM905 - a list of them would be long
)

#: What an entry of a database says for us alone, and not for env.py.
FOR_ADMIN = ("admin_url", "admin_password", "rehearse_url", "rehearse_password")
