"""Requirements files on the controller: what is shipped, what leads out, and what installs the source itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.requirements import (
    install_the_source,
    read_requirements,
)
from tests.codes import refused


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "vault.txt").write_text("password: sesame")
    folder = tmp_path / "source"
    for name in ("lib", "at@2", "a b"):
        (folder / name).mkdir(parents=True)
    (folder / "lib" / "c.txt").touch()
    (folder / "base.txt").write_text("alembic\n")
    return folder


def test_the_text_is_that_of_all_files(source: Path) -> None:
    (source / "requirements.txt").write_text("-r base.txt\n--constraint=lib/pins.txt\n# -r ../vault.txt\n")
    (source / "lib" / "pins.txt").write_text("-r ../base.txt\nsqlalchemy==2.0\n")
    assert read_requirements(source, "requirements.txt").count("alembic") == 2


@pytest.mark.parametrize(
    "line",
    [
        "--pre -r base.txt",
        "--requirem base.txt",
        "--con=base.txt",
        "-rbase.txt",
        '-r "base.txt" # the rest',
        "-r \\\nbase.txt",
        "--find-links lib --constraint base.txt",
        "# a comment \\\n-r base.txt",
    ],
)
def test_a_file_is_found_however_pip_lets_it_be_named(source: Path, line: str) -> None:
    (source / "requirements.txt").write_text(f"{line}\nsqlalchemy\n")
    assert read_requirements(source, "requirements.txt").count("alembic\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        "-r ../vault.txt",
        "-c ../vault.txt",
        "--requirement=../vault.txt",
        "-r lib/../../vault.txt",
        "-r ABSOLUTE",
        "-r file://ABSOLUTE",
        "--pre -r ../vault.txt",
        "--constr ../vault.txt",
        "-r../\\\nvault.txt",
    ],
)
def test_a_file_that_leads_out_is_refused_by_name(source: Path, line: str) -> None:
    (source / "requirements.txt").write_text(line.replace("ABSOLUTE", str(source.parent / "vault.txt")))
    with refused("requirements-invalid", "vault.txt", "requirements.txt") as refusal:
        read_requirements(source, "requirements.txt")
    assert "sesame" not in str(refusal.value)


def test_a_named_file_outside_and_one_behind_a_link_are_refused(source: Path) -> None:
    with refused("requirements-invalid"):
        read_requirements(source, "../vault.txt")
    (source / "requirements.txt").symlink_to("../vault.txt")
    with refused("requirements-invalid"):
        read_requirements(source, "requirements.txt")


@pytest.mark.parametrize("second", ["requirements.txt", "base.txt"])
def test_a_loop_is_refused_by_name(source: Path, second: str) -> None:
    (source / "requirements.txt").write_text("-r base.txt")
    (source / "base.txt").write_text(f"-c {second}")
    with refused("requirements-invalid", "base.txt"):
        read_requirements(source, "requirements.txt")


def test_a_reference_that_is_not_there_or_not_shipped_is_refused(source: Path) -> None:
    (source / "requirements.txt").write_text("-r base.txt")
    with refused("requirements-invalid", "base.txt"):
        read_requirements(source, "requirements.txt", ["base*"])
    (source / "base.txt").unlink()
    with refused("requirements-invalid", "requirements.txt"):
        read_requirements(source, "requirements.txt")


@pytest.mark.parametrize(
    ("text", "packages", "arguments", "expected"),
    [
        ("-e .", [], [], True),
        ("-e.", [], [], True),
        ("--pre --edit ./lib", [], [], True),
        ("-e \\\n./lib", [], [], True),
        ("--editable=./lib", [], [], True),
        (".", [], [], True),
        ("lib", [], [], True),
        ("./lib[extra] ; python_version > '3'", [], [], True),
        ("shop @ file:lib", [], [], True),
        ("--find-links lib", [], [], True),
        ("--pre -flib", [], [], True),
        ("", ["./lib"], [], True),
        ("", [], ["--find-links=./lib"], True),
        ("-e file:./lib#egg=lib", [], [], True),
        ('-e "file:./lib#egg=lib"', [], [], True),
        ("-e \\\nfile:lib#egg=lib", [], [], True),
        ("-e file:./lib#egg=lib ; python_version > '3'", [], [], True),
        ("-e git+file:./lib#egg=lib", [], [], True),
        ("file:lib#subdirectory=x", [], [], True),
        ("shop @ file:./lib#subdirectory=x ; python_version > '3'", [], [], True),
        ("shop[extra]@file:./lib", [], [], True),
        ("-e file:./at@2", [], [], True),
        ("-e file:./a%20b", [], [], True),
        ("-e ${PWD}/lib", [], [], True),
        ("-f ./wheels-of-a-folder-below", [], [], True),
        ("", ["file:./lib#egg=lib"], [], True),
        ("", [], ["-clib/c.txt"], True),
        ("", [], ["-Ulib", "-Urlib/c.txt"], True),
        ("", [], ["-c", "lib/c.txt"], True),
        ("", [], ["-elib"], True),
        ("", [], ["-flib"], True),
        ("", [], ["--group", "dev"], True),
        ("", [], ["--gro=pyproject.toml:dev"], True),
        ("", [], ["--requirement=lib/c.txt"], True),
        ("-e file://localhost/srv/lib\n-f https://example.net/wheels\n-f /srv/wheels", [], ["-q", "--pre"], False),
        ("git+ssh://git@example.net/shop#egg=lib\nshop @ git+https://${TOKEN}@example.net/lib", [], [], False),
        ("alembic==1.16 # see ./lib\n--hash=sha256:lib", ["psycopg2-binary"], ["--no-cache-dir"], False),
        ("git+https://example.net/shop.git\n-e git+ssh://git@example.net/shop", [], [], False),
        ("shop @ https://example.net/lib/shop.whl\n/srv/wheels/shop.whl", [], [], False),
    ],
)
def test_what_installs_the_source_is_known(
    source: Path, text: str, packages: list[str], arguments: list[str], expected: bool
) -> None:
    assert install_the_source(source, text, packages, arguments) is expected


def test_hashes_and_other_options_of_a_requirement_are_not_its_name(source: Path) -> None:
    hashes = " \\\n".join(f"    --hash=sha256:{number:064x}" for number in range(20))
    (source / "requirements.txt").write_text(f"markupsafe==3.0.4 \\\n{hashes}\nalembic --no-binary=alembic\n")
    text = read_requirements(source, "requirements.txt")
    assert not install_the_source(source, text, ["x" * 300], [])
    assert install_the_source(source, "./lib --hash=sha256:00\n", [], [])


def test_a_path_that_leads_out_is_refused(source: Path) -> None:
    with refused("requirements-invalid"):
        install_the_source(source, "-e ../shop", [], [])


def test_a_file_that_is_not_utf_8_is_refused_by_name(source: Path) -> None:
    (source / "requirements.txt").write_text("-r lib/pins.txt")
    (source / "lib" / "pins.txt").write_text("alembic", encoding="utf-16")
    with refused("requirements-invalid", "pins.txt"):
        read_requirements(source, "requirements.txt")
