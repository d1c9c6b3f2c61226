from __future__ import annotations

import hashlib
import resource
import subprocess
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.encryption import (
    build_opening_command,
    read_recipient,
    seal,
)
from tests.codes import refused
from tests.unit.keys import Person
from tests.unit.stage import in_process, names

CONTENT = b"m4rked rows\n" * 300_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backup"
    (made / "dump").mkdir(parents=True)
    (made / "dump" / "toc.dat").write_bytes(CONTENT)
    (made / "dump" / "with spaces").write_bytes(b"")
    return made


def test_what_is_sealed_opens_with_the_private_key_only(folder: Path, person: Person, tmp_path: Path) -> None:
    sealed = seal(folder, ["dump/toc.dat", "dump/with spaces"], person.to)

    archive = folder / sealed.file
    content = archive.read_bytes()
    assert (sealed.tool, sealed.size) == (person.tool, len(content))
    assert sealed.sha256 == hashlib.sha256(content).hexdigest()
    assert archive.stat().st_mode & 0o777 == 0o600
    assert b"m4rked" not in content
    assert names(folder) == [sealed.file, "dump"]

    person.open(archive, tmp_path / "opened")
    assert (tmp_path / "opened" / "dump" / "toc.dat").read_bytes() == CONTENT
    assert names(tmp_path / "opened" / "dump") == ["toc.dat", "with spaces"]


def test_the_command_that_is_printed_brings_the_files_back_where_they_were(folder: Path, age: Person) -> None:
    sealed = seal(folder, ["dump/toc.dat"], age.to)
    (folder / "dump" / "toc.dat").unlink()

    command = build_opening_command(sealed.tool, folder / sealed.file).replace("KEYFILE", str(age.folder / "key"))
    subprocess.run(command, shell=True, check=True)  # noqa: S602 - as a person would type it

    assert (folder / "dump" / "toc.dat").read_bytes() == CONTENT


@pytest.mark.parametrize("to", ["age1notarecipient", "/nowhere/key", "ssh-rsa nonsense"])
def test_a_key_that_cannot_be_used_is_refused_before_anything_is_written(folder: Path, to: str) -> None:
    with refused("encryption-not-possible"):
        seal(folder, ["dump/toc.dat"], to)

    assert names(folder) == ["dump"]


def test_a_private_key_on_a_host_is_refused(age: Person) -> None:
    with refused("private-key-given"):
        read_recipient(str(age.folder / "key"))


def test_a_tool_that_is_not_there_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, age: Person) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with refused("encryption-not-possible", "apt-get install age"):
        read_recipient(age.to)


def test_what_the_disk_does_not_take_leaves_nothing_half_sealed(age: Person, folder: Path) -> None:
    def sealed() -> None:
        # A file may not grow further, which is reported as a full disk is: by the write.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        seal(folder, ["dump/toc.dat"], age.to)

    with refused("encryption-failed"):
        in_process(sealed)

    assert names(folder) == ["dump"]
