# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command on a page is run by a test, or commands.txt says why not; and it is one that can be typed."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.lab import PROJECT
from tests.unit.docs.pages import PAGES, blocks, commands, name_of

_MARK = r"@pytest\.mark\.exhaustive\n(?:@.*\n)*"
_LIST = Path(__file__).with_name("commands.txt")


def _read_list() -> tuple[dict[str, str], dict[str, str]]:
    """Return the test of each command that one runs, and the reason of each other one."""
    run_by: dict[str, str] = {}
    not_run: dict[str, str] = {}
    heading = ""
    for line in _LIST.read_text().splitlines():
        if line.startswith("    "):
            (run_by if heading.startswith("test_") else not_run)[line.strip()] = heading.partition(",")[0]
        elif line and not line.startswith("#"):
            heading = line.rstrip(":")
    return run_by, not_run


RUN_BY, NOT_RUN = _read_list()
SHOWN = {command: name_of(page) for page in PAGES for command in commands(page)}
SPECS = yaml.safe_load((PROJECT / "roles/migrate/meta/argument_specs.yml").read_text())["argument_specs"]
VARIABLES: dict[str, Any] = SPECS["main"]["options"]
PLAYED = sorted(command for command in SHOWN if re.search(r"ansible-playbook .*(\.yml|hosting\.alembic\.)", command))


def _transcripts() -> Any:
    spec = importlib.util.spec_from_file_location("transcripts", PROJECT / "docs" / "transcripts.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass searches for its annotations
    spec.loader.exec_module(module)
    return module


TRANSCRIPTS = _transcripts()


def test_each_command_is_run_or_has_a_reason() -> None:
    known = {*RUN_BY, *NOT_RUN, *_in_console_blocks()}
    assert [f"{page}: {command}" for command, page in SHOWN.items() if command not in known] == []


def _in_console_blocks() -> set[str]:
    """Return the commands that docs/transcripts.py runs."""
    lines = [line for page in PAGES for text in blocks(page, "console") for line in text.splitlines()]
    return {line[2:] for line in lines if line.startswith("$ ")}


def test_the_pages_with_console_blocks_are_those_that_are_run() -> None:
    with_blocks = {name_of(page) for page in PAGES if list(blocks(page, "console"))}
    assert with_blocks == {f"docs/{name}" for name in TRANSCRIPTS.PAGES}


def test_a_table_keeps_its_columns_where_a_path_is_shortened() -> None:
    printed = (
        "localhost\n"
        "  DATABASE  NAME                   AGE\n"
        "  app       /long/path/of/app.db   0 days\n"
        "  b         /long/path/of/other.d\n"
        "at /long/path/of/app\n"
    )
    shown = "localhost\n  DATABASE  NAME       AGE\n  app       …/app.db   0 days\n  b         …/other.d\nat …/app\n"
    assert TRANSCRIPTS.shorten_paths(printed, "/long/path/of", "…") == shown


def test_no_command_is_listed_twice_or_gone() -> None:
    assert set(RUN_BY) & set(NOT_RUN) == set()
    assert set(RUN_BY) | set(NOT_RUN) <= set(SHOWN)


def test_each_test_that_is_named_exists() -> None:
    sources = "".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    assert [name for name in set(RUN_BY.values()) if f"def {name}(" not in sources] == []


def test_one_that_is_left_to_make_faults_has_a_reason() -> None:
    folder = PROJECT / "tests" / "integration"
    left = {line.partition("::")[2] for line in (folder / "exhaustive.txt").read_text().splitlines()}
    for path in folder.glob("test_*.py"):
        source = path.read_text()
        is_whole = "\npytestmark = pytest.mark.exhaustive\n" in source
        left |= set(re.findall(rf"(?m)^{'' if is_whole else _MARK}def (test_\w+)", source))
    headings = re.findall(r"(?m)^(test_\w+)(, only by make faults, because)?", _LIST.read_text())
    assert headings
    assert [name for name, reason in headings if (name in left) is not bool(reason)] == []


@pytest.mark.parametrize("command", PLAYED)
def test_a_playbook_and_its_variables_exist(command: str) -> None:
    words = shlex.split(command)
    named = [word for word in words if word.endswith(".yml") and not word.startswith(("@", "site"))]
    named += [f"playbooks/{word.rsplit('.', 1)[1]}.yml" for word in words if word.startswith("hosting.alembic.")]
    assert len(named) == 1
    assert (PROJECT / named[0]).is_file()
    given = [word for before, word in zip(words, words[1:]) if before == "-e" and not word.startswith("@")]
    values = [json.loads(word) if word.startswith("{") else dict([word.split("=", 1)]) for word in given]
    assert {name for value in values for name in value} <= set(VARIABLES)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_variables_in_examples_exist_and_are_of_their_type(page: Path) -> None:
    for text in blocks(page, "yaml"):
        for document in yaml.safe_load_all(text):
            given = document if isinstance(document, dict) else {}
            ours = {name: value for name, value in given.items() if name.startswith("migrate_")}
            assert set(ours) <= set(VARIABLES)
            # What is a template has its type only when it is read.
            plain = {
                name: value for name, value in ours.items() if "{{" not in str(value)[:3] and "{%" not in str(value)
            }
            spec = {name: VARIABLES[name] for name in plain}
            assert ArgumentSpecValidator(spec).validate(plain).error_messages == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_says_what_it_is(page: Path) -> None:
    fences = re.findall(r"(?m)^```(\S*)$", page.read_text())
    known = {"sh", "console", "jinja", "yaml", "python", "text", "{toctree}", ""}
    assert set(fences) <= known
    indented = re.findall(r"(?m)^\n    (?:ansible|make|pip|git|\$) .*$", page.read_text())
    assert indented == [], "a command in an indented block is not collected: use ```sh"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_file_of_the_project_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`((?:plugins|roles|playbooks|tests|docs|molecule)/[\w./-]+)`", page.read_text())
    assert [name for name in named if not (PROJECT / name).exists()] == []
