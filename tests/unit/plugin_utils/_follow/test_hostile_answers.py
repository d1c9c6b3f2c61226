"""Every value of every answer replaced by what a host that was taken over would send; nothing of it gets further."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.answers import answer_of
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.judge import judge_answer
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.reducing import reduce_answer
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.shapes import (
    Base64,
    Choice,
    Flag,
    Items,
    Match,
    Number,
    Record,
    Shape,
    Table,
)
from tests.unit.plugin_utils._follow.test_reducing import ON_HOSTS, SHOP

TEMPLATE = "{{ lookup('pipe', 'touch /tmp/ran') }}"


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def trusted(text: str) -> Any:
    """A text that Ansible would run as a template, where this release of Ansible knows of trust."""
    try:
        from ansible.template import trust_as_template  # noqa: PLC0415
    except ImportError:
        return text
    return trust_as_template(text)


HOSTILE: dict[str, Any] = {
    "not a number": float("nan"),
    "infinite": float("inf"),
    "huge number": 10**400,
    "negative": -1,
    "true": True,
    "null": None,
    "empty": "",
    "huge text": "x" * 300_000,
    "escapes": "\x1b]0;owned\x07\x9b2J\r\u202e\ud800",
    "template": TEMPLATE,
    "trusted template": trusted(TEMPLATE),
    "path": "../../../etc/cron.d/x",
    "deep": nested(5000),
    "many": ["x"] * 11_000,
    "object": {"__ansible_unsafe": "x", "__ansible_vault": "x", "what": TEMPLATE, "name": "../x"},
    "list of nothing": [None],
    "list of dictionaries": [{"name": "shop"}, {"name": "shop"}, {}],
    "bytes": b"\x1b",
}


def example(shape: Shape) -> Any:
    """Return a value that fits."""
    if isinstance(shape, Record):
        return {key: example(inner) for key, inner in shape.fields.items()}
    if isinstance(shape, Items):
        return [example(shape.of)]
    if isinstance(shape, Table):
        return {"key": example(shape.of)}
    if isinstance(shape, Choice):
        return shape.words[0]
    fitting: dict[type[Shape], Any] = {Flag: False, Number: 1, Base64: "", Match: ""}
    if isinstance(shape, Match) and not shape.pattern.fullmatch(""):
        return "0" * 64
    return fitting.get(type(shape), "word")


def replaced(value: Any, by: Any) -> Iterator[Any]:
    """Yield the value with each of its parts replaced in turn."""
    yield by
    if isinstance(value, dict):
        for key, inner in value.items():
            for other in replaced(inner, by):
                yield {**value, key: other}
        yield {**value, by if isinstance(by, str) else "unknown": by}
    elif isinstance(value, list):
        for other in replaced(value[0], by):
            yield [other]


def expect_plain(value: Any, place: str = "") -> None:
    """Nothing is there but plain types with printable text of bounded length, in which nothing is a template."""
    assert type(value) in (str, int, float, bool, dict, list, type(None)), (place, type(value))
    if isinstance(value, dict):
        for key, inner in value.items():
            expect_plain(key, place)
            expect_plain(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for inner in value:
            expect_plain(inner, place)
    elif isinstance(value, str):
        assert len(value) < 1 << 24
        assert place.startswith(".cursor") or not {*"\x1b\x07\x9b\r\u202e\ud800"} & {*value}, place


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("module", ON_HOSTS)
def test_a_hostile_value_in_any_place_is_plain_data_or_a_failure(module: str, kind: str) -> None:
    declared = answer_of(module, ("shop",))
    whole = example(declared)
    for key, value in whole.items():
        for by in replaced(value, HOSTILE[kind]):
            kept = judge_answer(module, reduce_answer(f"hosting.alembic.{module}", {**whole, key: by}, SHOP))

            expect_plain(kept)
            assert set(kept) <= {*declared.fields, "ok", "failed", "finished", "databases", "code", "error"}
            json.dumps(kept, allow_nan=False)
            for entry in kept.get("databases") or []:
                assert entry["name"] == "shop"
            assert len(kept.get("databases") or []) < 2


@pytest.mark.parametrize("module", ON_HOSTS)
def test_an_answer_that_fits_is_passed_on(module: str) -> None:
    whole = {**example(answer_of(module, ("shop",))), "failed": False}
    assert judge_answer(module, reduce_answer(f"hosting.alembic.{module}", whole, SHOP)).get("ok", True)


@pytest.mark.parametrize("run", ["../../x", "r1; touch /tmp/ran", "$(id)", "r1 r2", "-e@x", "x" * 65])
def test_a_run_that_a_host_names_can_be_a_file_and_a_word_of_a_command(run: str) -> None:
    assert reduce_answer("rollback", {"of_run": run}, SHOP)["failed"]
    assert reduce_answer("status_info", {"runs": [run]}, SHOP)["failed"]
    assert reduce_answer("status_info", {"databases": [{"name": "shop", "last_run": {"run": run}}]}, SHOP)["failed"]
    assert reduce_answer("status_info", {"databases": [{"name": "shop", "last_backup": {"run": run}}]}, SHOP)["failed"]
    assert reduce_answer("status_info", {"databases": [{"name": "shop", "retained": [{"run": run}]}]}, SHOP)["failed"]
    assert reduce_answer("status_info", {"maintenance": {"run": run}}, SHOP)["failed"]
    assert reduce_answer("plan_info", {"maintenance": {"kept_by": [{"name": "shop", "run": run}]}}, SHOP)["failed"]
    assert reduce_answer("recover", {"databases": [{"name": "shop", "of_run": run}]}, SHOP)["failed"]


def test_a_reason_that_lacks_its_words_is_whole() -> None:
    kept = reduce_answer("plan_info", {"databases": [{"name": "shop", "obstacles": [{"what": "x"}]}]}, SHOP)
    assert kept["databases"][0]["obstacles"] == [{"code": "", "what": "x", "why": "", "remedy": ""}]


@pytest.mark.parametrize("name", ["../x", "a b", "a\nb", "{{ x }}", "$(id)", "-e", "x" * 65, ""])
def test_a_database_that_a_host_finds_has_a_plain_name(name: str) -> None:
    finds = {"discover": [{"name": "sites"}], "databases": []}
    assert reduce_answer("plan_info", {"databases": [{"name": "found-1"}]}, finds)["databases"] == [{"name": "found-1"}]
    assert reduce_answer("plan_info", {"databases": [{"name": name}]}, finds)["failed"]
    assert reduce_answer("plan_info", {"found": [{"source": "sites", "names": [name]}]}, finds)["failed"]
    assert reduce_answer("plan_info", {"databases": [{"name": "found-1"}]}, SHOP)["failed"]
