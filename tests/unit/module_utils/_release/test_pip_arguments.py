"""Which arguments of pip may be on a command line."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._release.pip_arguments import (
    split_arguments,
    split_netrc,
    split_packages,
)

SECRET = "https://deploy:s3cret%40@index.example.net/simple"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--index-url", SECRET],
        [f"--index-url={SECRET}"],
        ["-i", SECRET],
        [f"-i{SECRET}"],
        [f"--index={SECRET}"],
        ["--index-u", SECRET],
    ],
)
def test_an_index_with_a_password_goes_through_the_environment(arguments: list[str]) -> None:
    plain, variables, lines = split_arguments(["--no-cache-dir", *arguments, "--pre"])
    assert plain == ["--no-cache-dir", "--pre"]
    assert (variables, lines) == ({"PIP_INDEX_URL": SECRET}, [])


def test_several_indexes_are_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://there.already")
    plain, variables, _ = split_arguments([f"--extra-index-url={SECRET}", "--extra-index-url", "https://token@other"])
    assert (plain, variables) == ([], {"PIP_EXTRA_INDEX_URL": f"https://there.already {SECRET} https://token@other"})


def test_what_holds_no_secret_stays_where_it_is() -> None:
    arguments = ["--index-url", "https://index.example.net/simple", "--only-binary=:all:", "-i", "https://a/b@c"]
    assert split_arguments(arguments) == (arguments, {}, [])


@pytest.mark.parametrize(
    "words", [["-r", SECRET], [f"-r{SECRET}"], [f"--requirement={SECRET}"], ["--req", SECRET], ["--constraint", SECRET]]
)
def test_a_file_behind_a_password_is_not_a_variable_that_the_pip_of_a_build_inherits(words: list[str]) -> None:
    kind = "-c" if "--constraint" in words else "-r"
    assert split_arguments(words) == ([], {}, [f"{kind} {SECRET}"])


def test_a_login_leaves_the_address_of_an_index() -> None:
    """Else pip repeats it on the command line of the pip that installs what a build needs."""
    index, others = (
        "https://deploy:t0ken@index.example.net:8443/simple/",
        "https://u:p@a.example.net https://b.example.net",
    )
    variables, netrc = split_netrc({"PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": others, "PIP_PROXY": "http://x:y@z"})
    assert variables == {
        "PIP_INDEX_URL": "https://index.example.net:8443/simple/",
        "PIP_EXTRA_INDEX_URL": "https://a.example.net https://b.example.net",
        "PIP_PROXY": "http://x:y@z",
    }
    assert netrc == (
        "machine index.example.net login deploy password t0ken\nmachine a.example.net login u password p\n"
    )


@pytest.mark.parametrize("index", [SECRET, "https://token@index.example.net", "https://index.example.net"])
def test_what_a_netrc_cannot_say_stays_in_the_variable(index: str) -> None:
    assert split_netrc({"PIP_INDEX_URL": index}) == ({"PIP_INDEX_URL": index}, "")


def test_two_logins_of_one_host_are_not_mixed_up() -> None:
    variables, netrc = split_netrc({"PIP_EXTRA_INDEX_URL": "https://a:b@host.net/x https://c:d@host.net/y"})
    assert variables == {"PIP_EXTRA_INDEX_URL": "https://host.net/x https://c:d@host.net/y"}
    assert netrc == "machine host.net login a password b\n"


def test_a_package_behind_a_password_is_on_no_command_line() -> None:
    packages = ["alembic==1.*", f"shop @ {SECRET}/shop.whl", "other @ https://example.net/other.whl"]
    assert split_packages(packages) == ([packages[0], packages[2]], [packages[1]])
