# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeping secrets out of words: every secret in every way it may be written, and every part of it that is long enough.

A library shortens what it shows, quotes it, encodes it. So what is searched for is each run of eight characters of each
form of a secret, but for those that are in harmless names, too (a host, a database, a user). An ordinary word of our
own messages stays where it is one, though a secret is that word or has it: stars in "cannot be ********" would give the
secret away, and the message would not be understood.
"""

from __future__ import annotations

import base64
import functools
import html
import inspect
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

STARS = "********"

#: The length of a part that reveals something of a secret.
PART = 8

# Shorter ones are words of their own as often as they are secrets.
_SHORTEST = 3

# Where words of a library, an exception or a person may be. Elsewhere are names that programs compare.
_WORDY = frozenset(
    {
        *("msg", "what", "why", "remedy", "reason", "notes", "note", "lines", "line", "again_error", "models"),
        *("server", "url", "not_restored", "refusals", "problems", "diff", "check", "exception", "warnings"),
        *(
            "place",
            "elsewhere",
            "ways_out",
            "message",
            "tool",
            "differences",
            "stdout",
            "stderr",
            "module_stdout",
            "module_stderr",
        ),
    }
)

# Parts of every secret that is a URL, and of nothing that would have to be hidden.
_EVERYWHERE = ("postgresql+psycopg2://", "postgresql+psycopg://", "postgresql+asyncpg://", "postgres://", "localhost:")
_ALSO = ("sqlite+aiosqlite:///", "https://www.", "http://127.0.0.1", "/usr/local/", "password", "********")


# What are words of our own sentences: those of the code that this process has loaded, which makes its messages.
_OURS = "ansible_collections.hosting.alembic."
_WORD = re.compile(r"[\w-]+", re.ASCII)  # names of variables and packages, too
_SHORTEST_WORD = 3
_END = "\0"
_ENDING = " '\"`:"  # what is before something that is filled in
_FAR = 200  # characters of a line that are read before and after a word

# What is before and after a word of a sentence; in "shop:parsed@db", 'parsed' or key=parsed it is a value.
_BEFORE = frozenset(" \t\n(")
_AFTER = frozenset(" \t\n.,;:)!?")
# Behind these on its line it may be a value all the same, unless our own texts have it there, between the same words.
_NAMING = r"(?i:password|passwd|pwd|passphrase|secret|token|credential|key|identified\s+by)s?"
_NAMED = re.compile(rf"(?:{_NAMING}\s*(?:(?:is|was)\s+|[:=]\s*)?|(?:^|\s)--?\w[\w-]*\s+)\Z")
_NAMED_BEFORE = re.compile(rf"{_NAMING}\b[^\n]*\Z")
_WORD_BEFORE = re.compile(r"[\w-]+[^\w\n-]+\Z", re.ASCII)
_WORD_AFTER = re.compile(r"[^\w\n-]+(?:[\w-]+|(?=\n|\Z))|(?=\n|\Z)", re.ASCII)


class Mask:
    """A mask: it replaces secrets by stars.

    Args:
        secrets: the secrets, as they were given.
        harmless: words that are shown elsewhere; what is in one of them is not part of a secret.
    """

    def __init__(self, secrets: Iterable[str], harmless: Iterable[str] = ()) -> None:
        fine = {word for word in harmless if word}
        known = {secret for secret in secrets if secret and secret not in fine}
        shown = {part for word in (*fine, *_EVERYWHERE, *_ALSO) for part in _list_parts(word)}
        forms = {form for secret in known for form in list_forms(secret)}
        self._parts = {part for form in forms for part in _list_parts(form)} - shown
        whole = sorted((form for form in forms if _SHORTEST <= len(form) < PART and form not in fine), key=len)
        either = "|".join(re.escape(form) for form in reversed(whole))
        self._short = re.compile(rf"(?<![A-Za-z0-9_])(?:{either})(?![A-Za-z0-9_])") if whole else None

    def __bool__(self) -> bool:
        return bool(self._parts or self._short)

    def hide_in_text(self, text: str) -> str:
        """Return text without the secrets and their parts."""
        found = self._find_parts(text)
        if self._short:
            found += [match.span() for match in self._short.finditer(text)]
        pieces: list[str] = []
        end = 0
        for start, stop in sorted(found):
            if stop <= end or _is_ordinary(text, start, stop):
                continue
            pieces += [text[end:start], STARS] if start > end or not pieces else []
            end = stop
        return "".join(pieces) + text[end:]

    def hide_in_data(self, value: Any, *, wordy: bool = False) -> Any:
        """Return data whose words are without the secrets; names by which programs find things stay as they are.

        Args:
            value: the data.
            wordy: whether it is where words are.
        """
        if not self:
            return value
        if isinstance(value, str):
            return self.hide_in_text(value) if wordy else value
        if isinstance(value, dict):
            return {key: self.hide_in_data(item, wordy=wordy or key in _WORDY) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.hide_in_data(item, wordy=wordy) for item in value]
        return value

    def _find_parts(self, text: str) -> list[tuple[int, int]]:
        """Return where parts of secrets are, those that touch as one."""
        found: list[tuple[int, int]] = []
        for start in range(len(text) - PART + 1) if self._parts else ():
            if text[start : start + PART] in self._parts:
                begin = found.pop()[0] if found and start <= found[-1][1] else start
                found.append((begin, start + PART))
        return found


def list_forms(secret: str) -> set[str]:
    """Return the ways in which a secret may be written."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    forms: set[str] = set()
    for word in plain:
        forms |= {word, *word.splitlines(), shlex.quote(word)[1:-1] if shlex.quote(word) != word else word}
        for written in (quote(word, safe=""), quote(word), quote_plus(word), quote(word, safe=":/?=&,+")):
            forms |= {written, re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), written)}
        forms |= {html.escape(word), html.escape(word, quote=False), html.escape(word).replace("&#x27;", "&#39;")}
        forms |= set(_list_base64_forms(word))
        forms.add(word.encode(errors="replace").hex())
    for word in tuple(plain):  # in an exception's words, a library's repr of them, or JSON of either
        for once in _escape_word(word):
            forms |= {once, *_escape_word(once)}
    return {form for form in forms if form}


def _escape_word(word: str) -> set[str]:
    quoted = repr(word)[1:-1], repr(f"{word}\"'")[1:-4], repr(f'{word}"')[1:-2]
    of_bytes = repr(word.encode(errors="replace"))[2:-1]
    plainly = json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1]
    return {*quoted, of_bytes, *plainly, word.replace("'", "''"), word.replace("\\", "\\\\").replace("'", "\\'")}


def _list_base64_forms(word: str) -> Iterator[str]:
    """Yield what remains of a word in the base64 of anything that holds it: it may begin at any of three places."""
    for before in range(3):
        content = b"\0" * before + word.encode(errors="replace")
        whole = len(content) // 3 * 3
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            written = encode(content[:whole]).decode()
            yield written[4 if before else 0 :]
            if before == 0:
                yield encode(content).decode().rstrip("=")


def _list_parts(form: str) -> set[str]:
    return {form[start : start + PART] for start in range(len(form) - PART + 1)}


def _is_ordinary(text: str, start: int, stop: int) -> bool:
    """Return whether a part of a text lies in one of our own words, in a sentence."""
    if not _WORD.fullmatch(text, start, stop):
        return False
    while start and _WORD.match(text[start - 1]):
        start -= 1
    while stop < len(text) and _WORD.match(text[stop]):
        stop += 1
    before, word, after = text[:start], text[start:stop].lower(), text[stop:]
    words, texts = _collect_words(_list_ours())
    return word in words and (_is_in_sentence(before, after) or _is_between(before, word, after, texts))


def _is_in_sentence(before: str, after: str) -> bool:
    if (before and before[-1] not in _BEFORE) or (after and after[0] not in _AFTER):
        return False
    line = before.rpartition("\n")[2] + after.partition("\n")[0]
    return bool(_WORD.search(line)) and not (_NAMED.search(before[-_FAR:]) or _NAMED_BEFORE.search(before[-_FAR:]))


def _is_between(before: str, word: str, after: str, texts: str) -> bool:
    """Return whether one of our own texts has a word between the same two, or ends with it behind the same one."""
    left, right = _WORD_BEFORE.search(before[-_FAR:]), _WORD_AFTER.match(after[:_FAR])
    if not left or not right:
        return False
    behind = f"{left[0]}{word}".lower()
    ends = not _NAMED.search(before[-_FAR:]) and f"{behind}{_END}" in texts
    return ends or (bool(right[0]) and f"{behind}{right[0].lower()}" in texts)


def _list_ours() -> tuple[str, ...]:
    return tuple(name for name in list(sys.modules) if name.startswith(_OURS))


@functools.lru_cache(maxsize=1)
def _collect_words(modules: tuple[str, ...]) -> tuple[frozenset[str], str]:
    """Return the words of all texts in modules that are loaded, and the texts. Needed only where a secret was found."""
    loaded = [sys.modules[name] for name in modules if name in sys.modules]
    found = {text for module in loaded for value in list(vars(module).values()) for text in _list_texts(value)}
    words = frozenset(word.lower() for text in found for word in _WORD.findall(text) if len(word) >= _SHORTEST_WORD)
    return words, "".join(f"{text.lower().rstrip(_ENDING)}{_END}" for text in found if " " in text)


def _list_texts(value: Any) -> Iterator[str]:
    """Yield the texts of a function, a class or a constant. What may be filled later may hold a secret itself."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, CodeType):
        for constant in value.co_consts:
            yield from _list_texts(constant)
    elif isinstance(value, (tuple, frozenset)):
        for item in value:
            yield from _list_texts(item)
    elif str(getattr(value, "__module__", "")).startswith(_OURS):
        yield from _list_own_texts(value)


def _list_own_texts(value: Any) -> Iterator[str]:
    if isinstance(value, type):
        for item in list(vars(value).values()):
            yield from _list_texts(getattr(item, "fget", item))
    else:
        code = getattr(inspect.unwrap(getattr(value, "__func__", value)), "__code__", None)
        yield from _list_texts(code) if code else ()


class _Own:
    """The mask of this process; it is made when the first words are written, which may be never."""

    def __init__(self) -> None:
        self.make: Callable[[], Mask] = lambda: Mask(())
        self.made: Mask | None = None

    def mask(self) -> Mask:
        if self.made is None:
            self.made = self.make()
        return self.made


_OWN = _Own()


def learn(make: Callable[[], Mask]) -> None:
    """Use what this makes for whatever this process and those that it forks write from now on."""
    _OWN.make, _OWN.made = make, None


def mask_data(data: Any) -> Any:
    """Return data as this process may write it."""
    return _OWN.mask().hide_in_data(data)


def mask_text(text: str) -> str:
    """Return words as this process may write them."""
    return _OWN.mask().hide_in_text(text)
