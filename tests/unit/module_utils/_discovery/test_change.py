from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.change import (
    refuse_if_changed,
    refuse_if_too_few,
)
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.found_list import FoundList, Row
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.source import Source
from tests.codes import refused

SOURCE = Source(name="s", template={})


def last(*names: str) -> FoundList:
    return FoundList("RUN", "", tuple(Row(name, "", {}) for name in names))


def numbered(first: int, end: int) -> list[str]:
    return [f"t{number:03}" for number in range(first, end)]


@pytest.mark.parametrize(
    ("names", "fits"),
    [
        (numbered(0, 100), True),
        (numbered(0, 90), True),
        (numbered(0, 89), False),
        (numbered(0, 110), True),
        (numbered(0, 111), False),
        (numbered(10, 110), True),
        (numbered(50, 150), False),
        ([], False),
    ],
)
def test_more_than_a_tenth_is_refused(names: list[str], fits: bool) -> None:
    before = last(*numbered(0, 100))
    if fits:
        refuse_if_changed(SOURCE, names, before)
        return
    with pytest.raises(Refused) as caught:
        refuse_if_changed(SOURCE, names, before)
    assert caught.value.code == "discovery-changed"


def test_without_a_last_list_everything_is_believed() -> None:
    refuse_if_changed(SOURCE, numbered(0, 100), None)
    with refused("discovery-changed", "t050"):
        refuse_if_changed(SOURCE, numbered(0, 100), last(*numbered(0, 50)))


def test_a_limit_of_its_own() -> None:
    lenient = Source(name="s", template={}, maximum_change=100)
    refuse_if_changed(lenient, ["c", "d"], last("a", "b"))
    with refused("discovery-changed", "100 %"):
        refuse_if_changed(lenient, ["c", "d", "e"], last("a", "b"))


@pytest.mark.parametrize(("minimum", "count", "fits"), [(1, 0, False), (0, 0, True), (5, 4, False), (5, 5, True)])
def test_too_few(minimum: int, count: int, fits: bool) -> None:
    source = Source(name="s", template={}, minimum=minimum)
    if fits:
        refuse_if_too_few(source, numbered(0, count))
        return
    with pytest.raises(Refused) as caught:
        refuse_if_too_few(source, numbered(0, count))
    assert caught.value.code == "discovery-too-few"
