"""Which arguments of pip may stand on a command line."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils.pip_arguments import split_arguments

SECRET = "https://deploy:s3cret%40@index.example.net/simple"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--index-url", SECRET],
        [f"--index-url={SECRET}"],
        ["-i", SECRET],
        [f"-i{SECRET}"],
    ],
)
def test_an_index_with_a_password_goes_through_the_environment(arguments: list[str]) -> None:
    plain, variables = split_arguments(["--no-cache-dir", *arguments, "--pre"])
    assert plain == ["--no-cache-dir", "--pre"]
    assert variables == {"PIP_INDEX_URL": SECRET}


def test_several_indexes_are_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://there.already")
    plain, variables = split_arguments([f"--extra-index-url={SECRET}", "--extra-index-url", "https://token@other"])
    assert (plain, variables) == ([], {"PIP_EXTRA_INDEX_URL": f"https://there.already {SECRET} https://token@other"})


def test_what_holds_no_secret_stays_where_it_is() -> None:
    arguments = ["--index-url", "https://index.example.net/simple", "--only-binary=:all:", "-i", "https://a/b@c"]
    assert split_arguments(arguments) == (arguments, {})
