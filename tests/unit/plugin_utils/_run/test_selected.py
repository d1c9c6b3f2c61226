from __future__ import annotations

from pathlib import Path

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils._run.selected import (
    explain_unmatched,
    note_found,
    note_listed,
    refuse_unmatched,
)

HOSTS = ["web1", "web2"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


def note(select: str, *, web2_has_sources: bool = False) -> None:
    note_listed("web1", select, [{"name": "shop"}, {"name": "forum"}], has_sources=False)
    note_listed("web2", select, [{"name": "blog"}], has_sources=web2_has_sources)


@pytest.mark.parametrize("select", ["shop", "blog", "shop,blog", "b*", "*", ""])
def test_what_some_host_has_is_not_refused_on_any(select: str) -> None:
    note(select)

    assert [refuse_unmatched(host, HOSTS) for host in HOSTS] == [[], []]


@pytest.mark.parametrize("select", ["shpo", "shop,shpo", "x*"])
def test_what_no_host_has_is_refused_on_each(select: str) -> None:
    note(select)

    for host in HOSTS:
        with pytest.raises(Refused) as refused:
            refuse_unmatched(host, HOSTS)
        assert refused.value.code == "selection-unmatched"
        assert ("shop" in refused.value.why) == (select != "x*") or "blog, forum, shop" in refused.value.why


def test_what_a_source_may_have_is_left_to_its_host() -> None:
    note("shop,tenant_1", web2_has_sources=True)

    assert [refuse_unmatched(host, HOSTS) for host in HOSTS] == [[], ["tenant_1"]]

    note_found("web2", ["tenant_1", "tenant_2"])
    assert explain_unmatched("web1", HOSTS) == ""
    note_found("web2", ["tenant_2"])
    assert "tenant_2" in explain_unmatched("web1", HOSTS)


def test_a_host_of_which_nothing_is_known_may_have_it() -> None:
    note_listed("web1", "blog", [{"name": "shop"}], has_sources=False)

    assert refuse_unmatched("web1", HOSTS) == []


def test_another_selection_of_a_later_part_forgets_what_was_found() -> None:
    note("tenant_1", web2_has_sources=True)
    note_found("web2", ["tenant_2"])
    note_listed("web2", "tenant_9", [], has_sources=True)

    assert refuse_unmatched("web2", HOSTS) == []
    note_listed("web1", "tenant_9", [], has_sources=False)
    assert refuse_unmatched("web2", HOSTS) == ["tenant_9"]
