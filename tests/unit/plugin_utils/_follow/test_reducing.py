# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host that was taken over can answer, and what of it is passed on."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml

from ansible_collections.hosting.alembic.plugins.module_utils._core.packed_list import pack_list
from ansible_collections.hosting.alembic.plugins.module_utils._core.printable import escape_unprintable
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.answers import answer_of
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.reducing import (
    escape_controls,
    reduce_answer,
    reduce_interpreter,
)
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.shapes import Items, Record, Shape

ON_HOSTS = [
    "backup",
    "backups_info",
    "downgrade",
    "fetch_backups",
    "health",
    "maintenance",
    "plan_info",
    "prune",
    "recover",
    "rehearse",
    "release",
    "restore",
    "rollback",
    "status_info",
    "upgrade",
]
SHOP = {"databases": [{"name": "shop", "url": "sqlite:////srv/shop.db"}]}


def hostile(answer: dict[str, Any]) -> dict[str, Any]:
    """What a host would add to rule the play."""
    return {
        **answer,
        "ansible_facts": {"migrate_after_upgrade": "/srv/mine.yml", "ansible_connection": "local"},
        "ansible_stats": {"data": {}},
        "add_host": {"host_name": "other"},
        "add_group": "other",
        "_ansible_no_log": False,
        "_ansible_delegated_vars": {},
        "invocation": {"module_args": {"databases": "secret"}},
        "deprecations": [{"msg": "x"}],
        "exception": "Traceback",
        "stdout_lines": ["x"],
        "results": [{"ansible_facts": {"migrate_root": "/"}}],
    }


@pytest.mark.parametrize("module", ON_HOSTS)
def test_nothing_but_what_is_declared_is_passed_on(module: str) -> None:
    kept = reduce_answer(f"hosting.alembic.{module}", hostile({"changed": False, "finished": True}), SHOP)
    assert kept.pop("results", [{}]) == [{}]
    assert set(kept) <= {"changed", "finished"}


def test_the_interpreter_that_ansible_found_is_remembered_and_no_other_word() -> None:
    key = "discovered_interpreter_python"
    assert reduce_interpreter(key, "/usr/bin/python3.11") == {"ansible_facts": {key: "/usr/bin/python3.11"}}
    assert reduce_interpreter(key, "/usr/bin/python3 -c 'x'") == {}
    assert reduce_interpreter(key, "python") == {}
    assert reduce_interpreter(None, "/usr/bin/python3") == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"databases": "shop"},
        {"databases": [{"name": "somebody else's"}]},
        {"databases": [{"name": "shop", "seconds": "1"}]},
        {"databases": [{"name": "shop", "before": {"a": 1}}]},
        {"databases": [{"name": "shop", "error": ["x"]}]},
        {"finished": "yes"},
        {"changed": 1},
        {"lines": [["x"]]},
        {"lines": ["x"] * 20_000},
        {"cursor": {"x": "y" * (5 << 20)}},
    ],
)
def test_what_does_not_fit_is_a_failure_that_says_where_and_repeats_nothing(wrong: dict[str, Any]) -> None:
    kept = reduce_answer("hosting.alembic.upgrade", {"changed": False, "finished": True, **wrong}, SHOP)
    assert (kept["failed"], kept["databases"], kept["finished"]) == (True, [], True)
    assert next(iter(wrong)) in kept["msg"]
    assert "somebody" not in kept["msg"]


def test_a_terminal_finds_nothing_to_act_on() -> None:
    evil = "\x1b]0;owned\x07\r\x9b31m\u202egpj.exe\u2066\u200f\ufeff\udc80 Größe 表 ok"
    answer = {"failed": True, "msg": f"{evil}\nnext line", "databases": [{"name": "shop", "outcome": evil}]}
    kept = reduce_answer("upgrade", answer, SHOP)
    shown = r"\x1b]0;owned\x07\x0d\x9b31m\u202egpj.exe\u2066\u200f\ufeff\udc80 Größe 表 ok"
    assert kept["msg"] == f"{shown}\nnext line"
    assert kept["databases"][0]["outcome"] == shown
    assert escape_unprintable("one\ntwo\tthree") == r"one\x0atwo\x09three"


def test_what_surrounds_an_answer_is_clean_before_ansible_shows_it() -> None:
    assert escape_controls('\x1b[2Jjunk {"a": "\x9b"}\r\n') == '\\u001b[2Jjunk {"a": "\\u009b"}\n'
    assert escape_controls(None) is None


def test_long_text_is_cut_and_says_so() -> None:
    kept = reduce_answer("upgrade", {"failed": True, "msg": "x" * 300_000}, SHOP)
    assert len(kept["msg"]) < 201_000
    assert kept["msg"].endswith("(100000 characters more)")


def test_a_failure_without_words_gets_some() -> None:
    assert reduce_answer("upgrade", {"failed": True, "msg": 3}, SHOP)["msg"]
    assert reduce_answer("upgrade", {"failed": True, "exception": "it broke"}, SHOP)["msg"] == "it broke"


def test_nothing_that_a_host_needs_is_not_one_of_our_archives() -> None:
    assert reduce_answer("release", {"needs": ["archive"]}, {})["needs"] == ["archive"]
    assert reduce_answer("release", {"needs": ["/etc/shadow"]}, {})["failed"]


@pytest.mark.parametrize(
    "file",
    [
        {"name": "../x", "size": 1, "sha256": "0" * 64},
        {"name": "/etc/cron.d/x", "size": 1, "sha256": "0" * 64},
        {"name": "a/b/c", "size": 1, "sha256": "0" * 64},
        {"name": ".ssh", "size": 1, "sha256": "0" * 64},
        {"name": "dump", "size": 1.5, "sha256": "0" * 64},
        {"name": "dump", "size": 1, "sha256": "x"},
    ],
)
def test_a_fetched_backup_has_no_names_but_ours(file: dict[str, Any]) -> None:
    backup = {"database": "shop", "run": "r1", "files": [file]}
    assert reduce_answer("fetch_backups", {"waiting": [backup]}, {"databases": ["shop"]})["failed"]


def test_a_backup_as_it_is_announced_fits() -> None:
    files = [
        {"name": "dump/3001.dat.gz", "size": 9, "sha256": "a" * 64},
        {"name": "manifest.json", "size": 1, "sha256": "b" * 64},
    ]
    answer = {"waiting": [{"database": "shop", "run": "r1", "files": files}], "changed": False}
    assert reduce_answer("fetch_backups", answer, {"databases": ["shop"]}) == answer
    answer["waiting"][0]["run"] = "../r1"  # type: ignore[index]
    assert reduce_answer("fetch_backups", answer, {"databases": ["shop"]})["failed"]


@pytest.mark.parametrize("module", ON_HOSTS)
def test_every_documented_key_is_declared(module: str) -> None:
    source = importlib.import_module(f"ansible_collections.hosting.alembic.plugins.modules.{module}")
    returned = yaml.safe_load(source.RETURN)
    of_host = {key: what for key, what in returned.items() if what["returned"] != "from the action plugin"}
    compare(of_host, answer_of(module, ("shop",)), module)


def compare(documented: dict[str, Any], declared: Record, place: str) -> None:
    missing = documented.keys() - declared.fields.keys()
    assert not missing, f"{place}: add {sorted(missing)} to _follow/answers.py, else they are dropped"
    for key, entry in documented.items():
        shape: Shape = declared.fields[key]
        inner = shape.of if isinstance(shape, Items) else shape
        if "contains" in entry and isinstance(inner, Record):
            compare(entry["contains"], inner, f"{place}.{key}")


@pytest.mark.parametrize("key", ["notes", "not_restored"])
def test_an_answer_that_is_too_long_as_a_whole_is_a_failed_one(key: str) -> None:
    answer = {"finished": True, "databases": [{"name": "shop", "outcome": "upgraded", key: ["x" * 20_000] * 4_000}]}

    kept = reduce_answer("upgrade", answer, SHOP)

    assert kept["failed"]
    assert len(str(kept)) < 10_000
    answer["databases"][0][key] = ["x" * 20_000] * 100  # type: ignore[index]
    assert "failed" not in reduce_answer("upgrade", answer, SHOP)


def test_plans_of_many_databases_are_unpacked_and_reduced_as_others() -> None:
    plans = [{"name": "shop", "pending": [], "ansible_facts": {"x": 1}}]
    answer = {"changed": False, "databases": [], "packed": pack_list(plans)}

    assert reduce_answer("hosting.alembic.plan_info", answer, SHOP)["databases"] == [{"name": "shop", "pending": []}]
    assert reduce_answer("hosting.alembic.upgrade", answer, SHOP)["databases"] == []


@pytest.mark.parametrize("packed", [None, "x", {"name": "shop"}, pack_list([{"name": "other"}]), pack_list([1])])
def test_what_cannot_be_unpacked_is_refused(packed: Any) -> None:
    answer = {"changed": False, "databases": [], "packed": packed}

    assert "cannot be used" in reduce_answer("hosting.alembic.plan_info", answer, SHOP)["msg"]
