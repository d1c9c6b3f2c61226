# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requirements files, read on the controller: of which files they consist, whether they install the source itself."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._release.exclusions import Exclusions

#: Options of pip that name a file or a folder, each by its first letter; pip takes a beginning of the long one too.
_LONG = {"requirement": "requirem", "constraint": "c", "editable": "ed", "find-links": "f"}
_SHORT = re.compile(r"-([rcef])=?(.*)", re.DOTALL)
_COMMENT = re.compile(r"(^|\s)#.*$")
_REMOTE = re.compile(r"^(?:[a-z]+\+)?(?:https?|ssh|git|hg|svn|bzr)[:+]")
#: ``file://localhost/a`` and ``file:///a`` are the absolute path that remains.
_FILE_ADDRESS = re.compile(r"(?:[a-z]+\+)?file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
_NAME_BEFORE = re.compile(r"^[\w.-]+\s*(?:\[[^]]*\])?\s*@\s*(?=[a-z]+(?:\+[a-z]+)?:)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
#: A short option of pip's command line with its value in the same word, other short ones may be before it.
_JOINED = re.compile(r"-[UIvqh]*[rcef]=?(.+)", re.DOTALL)
#: What it names is in a pyproject.toml; pip takes a beginning of the option too.
_GROUP = re.compile(r"--g(?:r(?:ou?|oup)?)?(?:=|\Z)")


def read_requirements(source: Path, name: str, exclude: Sequence[str] = ()) -> str:
    """Return the text of a requirements file and of those it refers to: what decides what is installed.

    Raises:
        Refused: one of them is not shipped, or refers to itself.
    """
    return _read_text(source, name, exclude, ())


def _read_text(source: Path, name: str, exclude: Sequence[str], within: tuple[Path, ...]) -> str:
    path = _resolve_inside(source, name, within)
    place = path.resolve()
    if place in within:
        way = " -> ".join(str(each.relative_to(source.resolve())) for each in (*within, place))
        raise Refused(
            f"The requirements file {name} leads into itself",
            way,
            "Remove one of these references",
            code="requirements-invalid",
        )
    if not path.is_file():
        raise Refused(
            f"The requirements file {name} is not below migrate_source",
            f"{_name_source(source, within)} names it, and {path} is not a file",
            "Correct the reference, or add the file",
            code="requirements-invalid",
        )
    if Exclusions(exclude).hold(path, source, is_folder=False):
        raise Refused(
            f"The requirements file {name} is not shipped",
            "migrate_exclude leaves it out",
            f"Add '!{name}' at the end of migrate_exclude",
            code="requirements-invalid",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            f"The requirements file {name} is not UTF-8", str(error), "Save it as UTF-8", code="requirements-invalid"
        ) from error
    others = [value for option, value in _read_names(text) if option in ("r", "c") and not _REMOTE.match(value)]
    parent = path.parent.relative_to(source)
    return text + "".join(_read_text(source, _join_paths(parent, other), exclude, (*within, place)) for other in others)


def _join_paths(parent: Path, other: str) -> str:
    place = other.removeprefix("file:").removeprefix("//")
    return place if Path(place).is_absolute() else str(parent / place)


def _resolve_inside(source: Path, name: str, within: tuple[Path, ...]) -> Path:
    """Return the path of a file that is below the source, wherever dots and links lead."""
    path = source / name
    if not path.resolve().is_relative_to(source.resolve()):
        named = f"{_name_source(source, within)} names it, and only" if within else "Only"
        raise Refused(
            f"The requirements file {name} leads out of migrate_source",
            f"{named} what is below {source} is shipped",
            "Move it there, or name a folder above both as migrate_source",
            code="requirements-invalid",
        )
    return Path(_resolve_dots(source, name))


def _resolve_dots(source: Path, name: str) -> Path:
    parts: list[str] = []
    for part in Path(name).parts:
        if part == "..":
            parts.pop() if parts else None
        elif part != ".":
            parts.append(part)
    return source.joinpath(*parts)


def _name_source(source: Path, within: tuple[Path, ...]) -> str:
    return str(within[-1].relative_to(source.resolve())) if within else "migrate_requirements"


def install_the_source(source: Path, text: str, packages: Sequence[str], pip_arguments: Sequence[str]) -> bool:
    """Return whether anything that pip gets is a path in the source: then the text does not show what is installed.

    Raises:
        Refused: a path leads out of the source.
    """
    words = [*_split_words(text), *packages, *map(_parse_value, pip_arguments)]
    found = [_is_local(source, word) for word in words]  # all of them: a later one may lead out
    finds_links = any(option == "f" and _is_relative(value) for option, value in _read_names(text))
    return any(found) or finds_links or any(map(_GROUP.match, pip_arguments))


def _parse_value(argument: str) -> str:
    """Return what an argument of pip's command line names, whether the option is in the same word or before it."""
    joined = _JOINED.fullmatch(argument)
    return joined[1] if joined else argument.partition("=")[2] or argument


def _split_words(text: str) -> Iterator[str]:
    for option, value in _read_names(text):
        if option not in ("r", "c"):
            yield value


def _read_names(text: str) -> Iterator[tuple[str, str]]:
    """Yield what each line names, as pip reads it, with its option's first letter.

    A requirement has none; it ends where options begin, as its hashes.
    """
    for line in _split_lines(text):
        words = _COMMENT.sub("", line).split()
        options = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
        if options:
            yield "", " ".join(words[:options])
        yield from _list_options(_split(" ".join(words[options:])))


def _split_lines(text: str) -> Iterator[str]:
    """Yield the lines, with those that a backslash continues as one; a comment is not continued."""
    begun = ""
    for line in text.splitlines():
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            begun += line[:-1]
            continue
        yield f"{begun} {line}" if is_comment else begun + line
        begun = ""
    if begun:
        yield begun


def _split(words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError:  # a quotation mark without its other one: pip refuses the line
        return words.split()


def _list_options(words: list[str]) -> Iterator[tuple[str, str]]:
    rest = iter(words)
    for word in rest:
        letter, value = _parse_option(word)
        if letter:
            yield letter, value or next(rest, "")


def _parse_option(word: str) -> tuple[str, str]:
    """Return the letter of an option and its value where the same word holds that."""
    if word.startswith("--"):
        name, _equals, value = word[2:].partition("=")
        found = [full for full, least in _LONG.items() if full.startswith(name) and name.startswith(least)]
        return (found[0][0], value) if found else ("", "")
    short = _SHORT.fullmatch(word)
    return (short[1], short[2]) if short else ("", "")


def _parse_place(word: str) -> str:
    """Return the path or address of a requirement without its name, marker, fragment and extras.

    Pip reads ``name @ file:lib#subdirectory=x ; marker``, ``file:lib#egg=name`` and ``git+file:lib``.
    """
    place = _NAME_BEFORE.sub("", word.strip()).split(";", 1)[0].split("#", 1)[0].strip()
    address = _FILE_ADDRESS.match(place)
    if address:
        place = unquote(place[address.end() :])
    return place.split("[", 1)[0].strip()


def _is_relative(place: str) -> bool:
    """Return whether something is neither an address nor an absolute path, which is one of the host."""
    place = _FILE_ADDRESS.sub("", place)
    return bool(place) and not _REMOTE.match(place) and not Path(place).is_absolute()


def _is_local(source: Path, word: str) -> bool:
    """Return whether a word is a path; an absolute one is a path of the host, which is unknown here."""
    place = _parse_place(word)
    if not _is_relative(place):
        return False
    if _VARIABLE.search(place):  # what pip fills in is not known here
        return True
    if not (place.startswith(".") or "/" in place or os.path.exists(source / place)):
        return False
    if not (source / place).resolve().is_relative_to(source.resolve()):
        raise Refused(
            f"The requirement {word} leads out of migrate_source",
            f"only what is below {source} is shipped",
            "Move it there, or name a folder above both as migrate_source",
            code="requirements-invalid",
        )
    return os.path.exists(source / place)
