"""The tree of unit tests mirrors plugins/; what has no mirror is named, with the test that runs it."""

from __future__ import annotations

from pathlib import Path

from tests.unit.reach import files_of

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
PLUGINS = PROJECT / "plugins"


def without_mirror() -> set[str]:
    """Return the files of plugins/ that no test file here is named after."""
    found = [path.relative_to(PLUGINS) for path in PLUGINS.rglob("*.py") if path.name != "__init__.py"]
    return {str(path) for path in found if not (HERE / path.parent / f"test_{path.name}").exists()}


def named() -> dict[str, str]:
    """Return what the list names: a file of plugins/, and its test."""
    lines = (HERE / "covered_elsewhere.txt").read_text().splitlines()
    return dict(line.split(": ") for line in lines if not line.startswith("#"))


def test_each_file_of_the_plugins_has_a_mirror_or_is_named_with_its_test() -> None:
    assert set(named()) == without_mirror()


def test_each_test_that_is_named_reaches_the_file() -> None:
    """By imports, its helpers' too, or by the name of a verb, a module or a playbook that leads to it."""
    assert [test for test in named().values() if not (PROJECT / test).is_file()] == []
    reached = {test: files_of(PROJECT / test) for test in set(named().values())}
    assert [f"{file}: {test}" for file, test in named().items() if PLUGINS / file not in reached[test]] == []
