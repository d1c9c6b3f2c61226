"""Compare errors by their code and by what they name, never by their sentences.

A sentence of ours may be reworded at any time; `tests/unit/test_wording.py` is the one place that keeps a few of them.
What an error *names* (a database, a file, a variable, a revision, a number, another program's words) is a fact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed, Refused
from tests.lab.ansible import Outcome

#: A code as a message names it.
_NAMED = re.compile(r"\[([a-z]+(?:-[a-z]+)+)\]")


def assert_error(error: Refused | Mapping[str, Any], code: str, *named: object) -> None:
    """Assert the code of an error, as it is or as a result describes it, and that it names some facts."""
    error = error if isinstance(error, Refused) else Refused.of(error)
    assert error.code == code, f"its code is {error.code}: {error}"
    assert_names(str(error), *named)


def assert_names(text: str, *named: object) -> None:
    """Assert that a text names some facts, wherever its lines break."""
    printed = " ".join(text.split())
    missing = [each for each in map(str, named) if " ".join(each.split()) not in printed]
    assert not missing, f"not named: {missing}\n{text}"


@contextmanager
def refused(code: str, *named: object) -> Iterator[pytest.ExceptionInfo[Refused]]:
    """Expect a refusal with this code, which names some facts."""
    with pytest.raises(Refused) as caught:
        yield caught
    assert_error(caught.value, code, *named)


@contextmanager
def failed(code: str, *named: object) -> Iterator[pytest.ExceptionInfo[Failed]]:
    """Expect a failure, not only a refusal, with this code, which names some facts."""
    with pytest.raises(Failed) as caught:
        yield caught
    assert_error(caught.value, code, *named)


@dataclass(frozen=True)
class Reported:
    """An error in the results of a run: its code, all of its text, whose it is."""

    code: str
    text: str
    database: str
    host: str


def reported(outcome: Outcome) -> list[Reported]:
    """Return the errors in the results of a run, in the order they came."""
    return [
        each for event in outcome.events for each in _errors_in(event.get("result"), str(event.get("host") or ""), "")
    ]


def codes_of(outcome: Outcome) -> set[str]:
    """Return the codes of all errors that a run has reported."""
    return {each.code for each in reported(outcome)}


def values(outcome: Outcome, key: str) -> list[Any]:
    """Return what the results of a run hold under a key, in the order they came."""
    return [each for event in outcome.events for each in _values_in(event.get("result"), key)]


def assert_code(outcome: Outcome, code: str, *named: object, database: str = "", host: str = "") -> None:
    """Assert that the results of a run hold an error with this code, of this database and host, that names facts."""
    found = [each for each in reported(outcome) if each.code == code and host in ("", each.host)]
    found = [each for each in found if database in ("", each.database) or _is_about(each.text, database)]
    assert found, f"no {code} of {host} {database}, but {sorted(codes_of(outcome))}:\n{outcome.output}"
    wanted = [" ".join(str(each).split()) for each in named]
    texts = [" ".join(each.text.split()) for each in found]
    assert any(all(each in text for each in wanted) for text in texts), f"{wanted} not named by any of {texts}"


def _values_in(value: Any, key: str) -> Iterator[Any]:
    within = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    if isinstance(value, Mapping) and key in value:
        yield value[key]
    for each in within:
        yield from _values_in(each, key)


def _errors_in(value: Any, host: str, database: str) -> Iterator[Reported]:
    """Yield the errors in a result: as data where it holds them, else as its messages name them."""
    if isinstance(value, Mapping):
        if {"code", "what"} <= value.keys():
            yield Reported(str(value["code"]), str(Refused.of(value)), database, host)
        name = str(value.get("name") or database)
        for each in value.values():
            yield from _errors_in(each, host, name)
    elif isinstance(value, list):
        for each in value:
            yield from _errors_in(each, host, database)
    elif isinstance(value, str):
        for code in _NAMED.findall(value):
            yield Reported(code, value, "", host)


def _is_about(text: str, database: str) -> bool:
    """Return whether a message names a database, in quotes or in front."""
    return f"'{database}'" in text or re.search(rf"^\W*{re.escape(database)}: ", text, re.MULTILINE) is not None
