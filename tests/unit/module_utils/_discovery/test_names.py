from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._discovery.names import SAFE, build_names, build_safe_name


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a\nb", "x" * 300, "-rf", ".hidden", "", "naïve", "a b"])
def test_a_name_becomes_safe_and_stays_its_own(name: str) -> None:
    assert SAFE.fullmatch(build_safe_name(name))
    assert build_safe_name(name) != build_safe_name(f"{name}x")


def test_a_safe_name_stays() -> None:
    assert build_names(["shop", "a.b-c_D"], ["p", "q"]) == ["shop", "a.b-c_D"]


def test_the_same_name_gets_the_digest_of_its_place_in_any_order() -> None:
    first = dict(zip("pq", build_names(["shop", "shop"], ["p", "q"])))
    assert dict(zip("qp", build_names(["shop", "shop"], ["q", "p"]))) == first
    assert len(set(first.values())) == 2
    assert "shop" not in first.values()


def test_who_had_the_name_keeps_it() -> None:
    made = build_names(["shop", "shop"], ["new", "old"], [("shop", "old")])
    assert made[1] == "shop"
    assert made[0].startswith("shop-")


def test_no_name_is_given_twice_even_if_it_looks_like_a_digest() -> None:
    made = build_names(["shop", "shop"], ["p", "q"])
    assert len(set(build_names(["shop", "shop", made[0]], ["p", "q", "r"]))) == 3


def test_a_name_does_not_go_over_to_another_database_when_its_own_one_is_gone() -> None:
    both = build_names(["shop", "shop"], ["old", "new"], [("shop", "old")])
    assert build_names(["shop"], ["new"], list(zip(both, ["old", "new"]))) == [both[1]]
    # It does when the template gives another name.
    assert build_names(["forum"], ["new"], list(zip(both, ["old", "new"]))) == ["forum"]
