"""A long list of an answer as one text, which comes from a host that may not be trusted."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.packed_list import pack_list, unpack_list


def packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize("items", [[], [1], [{"name": "a", "notes": []}, None, "é\u2028"]])
def test_a_list_comes_back_as_it_was(items: list[Any]) -> None:
    assert unpack_list(pack_list(iter(items)), 1000) == items


def test_plans_that_are_alike_take_few_bytes() -> None:
    plans = [{"name": f"t{number}", "heads": ["r0020"], "obstacles": []} for number in range(2000)]

    assert len(pack_list(plans)) < len(json.dumps(plans)) / 8


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "is not text"),
        (["[]"], "is not text"),
        ("[]", "base64|padding|alphabet"),
        (base64.b64encode(b"[]").decode(), "cannot be unpacked"),
        (packed(b'{"a": 1}'), "is not a list"),
        (packed(b"[1"), "Expecting"),
        (packed(b"[" * 100_000), "longer|cannot be read"),
        (packed(b"[" + b" " * 10_000_000 + b"]"), "is longer than"),
        (base64.b64encode(zlib.compress(b"[1, 2, 3]")[:-3]).decode(), "is not a list"),
    ],
)
def test_anything_else_is_refused_with_little_memory(text: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        unpack_list(text, 200_000)


def test_a_text_of_very_many_small_values_is_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        unpack_list(packed(b"[" + b"{}," * 2_000_000 + b"1]"), 64 << 20)
