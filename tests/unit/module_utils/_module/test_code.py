"""Where a module finds its code: what was sent, kept, altered, planted, and what is old."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.hosting.alembic.plugins.module_utils._core import argument_specs, packed_code
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import Layout, hash_file, try_lock
from ansible_collections.hosting.alembic.plugins.module_utils._module import code
from ansible_collections.hosting.alembic.plugins.module_utils._module.result import answer_errors, build_module
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.code import write_archive
from tests.codes import assert_error
from tests.layers import PLUGINS
from tests.unit.modules.test_shipped_files import shipped
from tests.unit.stage import Answer, in_process


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """An archive with one small module of ours, as the controller sends it."""
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as packing:
        packing.writestr("ansible_collections/__init__.py", "")
        packing.writestr("ansible_collections/known.py", "def number():\n    return 7\n")
    return archive


def used(root: Path, digest: str, sent: Path | None = None, *, check: bool = False) -> Answer:
    """Return the code that a module of this digest uses, or its answer where it does not come as far."""

    def work() -> Answer:
        options: Answer = {"root": str(root), "code_digest": digest, "_ansible_check_mode": check}
        options.update({"code_archive": str(sent)} if sent else {})
        answers: list[str] = []
        with patch_module_args(options), pytest.MonkeyPatch.context() as patch:
            patch.setattr("builtins.print", lambda *words, **_: answers.append(str(words[0])))
            module = build_module(argument_specs.plan())
            try:
                with answer_errors(module):
                    archive, how = code.use_code(module)
            except SystemExit:
                return dict(json.loads(answers[-1]))
        return {"archive": str(archive), "kept": how}

    return in_process(work)


def kept(root: Path) -> set[str]:
    return {path.name for path in (root / "code").glob("*.zip")} if (root / "code").exists() else set()


def digest_of(archive: Path) -> str:
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def test_a_host_without_the_code_says_so_and_keeps_it_once_it_was_sent(root: Path, sent: Path) -> None:
    digest = digest_of(sent)
    answer = used(root, digest)
    assert (answer["needs_code"], answer["changed"], kept(root)) == (True, False, set())

    assert used(root, digest, sent) == {"archive": str(root / "code" / f"{digest}.zip"), "kept": "writable"}
    sent.unlink()
    assert used(root, digest)["archive"] == str(root / "code" / f"{digest}.zip")
    compiled = packed_code.locate_compiled(root / "code" / f"{digest}.zip")
    assert kept(root) == {f"{digest}.zip", compiled.name}
    for path in [root / "code", *(root / "code").iterdir()]:
        assert not path.stat().st_mode & 0o077, path


def test_what_is_compiled_is_what_python_imports(root: Path, sent: Path) -> None:
    used(root, digest_of(sent), sent)
    archive = root / "code" / f"{digest_of(sent)}.zip"
    script = "import sys; sys.path[:1] = [sys.argv[1]]; from ansible_collections import known; print(known.number())"
    compiled = packed_code.locate_compiled(archive)
    command = [sys.executable, "-c", script, str(compiled)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "7\n"
    assert {path.suffix for path in map(Path, zipfile.ZipFile(compiled).namelist())} == {".pyc"}


def test_in_check_mode_nothing_is_written(root: Path, sent: Path) -> None:
    digest = digest_of(sent)
    assert used(root, digest, check=True)["needs_code"] is True
    assert used(root, digest, sent, check=True) == {"archive": str(sent), "kept": ""}
    assert list(root.iterdir()) == []
    code.keep_code(Layout(root), digest, sent.read_bytes())
    before = {path.name: path.stat().st_mtime_ns for path in (root / "code").iterdir()}
    assert used(root, digest, check=True) == {"archive": str(root / "code" / f"{digest}.zip"), "kept": "read_only"}
    assert {path.name: path.stat().st_mtime_ns for path in (root / "code").iterdir()} == before


def test_a_root_that_is_not_there_is_not_made(tmp_path: Path, sent: Path) -> None:
    assert used(tmp_path / "later", digest_of(sent), sent) == {"archive": str(sent), "kept": ""}
    assert not (tmp_path / "later").exists()


def test_what_did_not_arrive_whole_is_refused_and_not_kept(root: Path, sent: Path) -> None:
    digest = digest_of(sent)
    sent.write_bytes(sent.read_bytes()[:-20])
    for check in (False, True):
        assert_error(used(root, digest, sent, check=check)["error"], "code-damaged")
    assert kept(root) == set()


@pytest.mark.parametrize("content", [b"", b"PK", b"another"])
def test_code_that_was_altered_is_not_used_and_sent_again(root: Path, sent: Path, content: bytes) -> None:
    digest = digest_of(sent)
    used(root, digest, sent)
    archive = root / "code" / f"{digest}.zip"
    archive.write_bytes(content)
    assert used(root, digest)["needs_code"] is True
    used(root, digest, sent)
    assert hash_file(archive) == digest


@pytest.mark.parametrize("damage", ["empty", "half", "bit"])
def test_what_was_compiled_and_is_damaged_is_not_used_and_compiled_again(root: Path, sent: Path, damage: str) -> None:
    digest = digest_of(sent)
    used(root, digest, sent)
    compiled = packed_code.locate_compiled(root / "code" / f"{digest}.zip")
    whole = compiled.read_bytes()
    flipped = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
    damaged = {"empty": b"", "half": whole[: len(whole) // 2], "bit": flipped}[damage]
    compiled.write_bytes(damaged)
    assert used(root, digest, check=True)["kept"] == "read_only"
    assert compiled.read_bytes() == damaged
    assert used(root, digest)["kept"] == "writable"
    assert packed_code.is_intact(compiled)


def test_a_disk_that_is_almost_full_is_left_as_it_is(root: Path, sent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(root).free
    monkeypatch.setattr(code, "_LEFT_FREE", 2 * free)
    assert used(root, digest_of(sent), sent) == {"archive": str(sent), "kept": ""}
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("what", ["archive", "compiled"])
@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_link_or_a_folder_in_its_place_is_refused(root: Path, sent: Path, what: str, kind: str) -> None:
    digest = digest_of(sent)
    used(root, digest, sent)
    place = root / "code" / f"{digest}.zip"
    place = place if what == "archive" else packed_code.locate_compiled(place)
    elsewhere = root.parent / "elsewhere.zip"
    place.rename(elsewhere)
    if kind == "link":
        place.symlink_to(elsewhere)
    else:
        place.mkdir()
    for check in (False, True):
        assert_error(used(root, digest, sent, check=check)["error"], "directory-not-usable")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_in_the_place_of_the_folder_is_refused(root: Path, sent: Path, kind: str) -> None:
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    if kind == "link":
        (root / "code").symlink_to(elsewhere)
    else:
        (root / "code").touch()
    assert_error(used(root, digest_of(sent), sent)["error"], "directory-not-usable")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("what", ["code", "archive", "compiled", "for_the_virtualenv"])
@pytest.mark.parametrize("change", ["owner", "mode"])
def test_code_that_another_user_could_write_is_refused(root: Path, sent: Path, what: str, change: str) -> None:
    if change == "owner" and os.geteuid():
        pytest.skip("only root gives a file away")
    digest = digest_of(sent)
    used(root, digest, sent)
    archive = root / "code" / f"{digest}.zip"
    compiled = packed_code.locate_compiled(archive)
    another = archive.with_name(f"{digest}.cpython-399-30900f0.zip")
    another.write_bytes(compiled.read_bytes())
    another.chmod(0o600)
    place = {"code": root / "code", "archive": archive, "compiled": compiled, "for_the_virtualenv": another}[what]
    if change == "owner":
        os.chown(place, 65534, 65534)
    else:
        place.chmod(0o777)
    assert_error(used(root, digest, sent)["error"], "path-not-private")


@pytest.mark.parametrize("digest", ["", "a" * 63, "../" + "a" * 61, "A" * 64])
def test_without_its_action_plugin_a_module_says_what_to_do(root: Path, sent: Path, digest: str) -> None:
    assert_error(used(root, digest, sent)["error"], "code-not-sent")
    assert list(root.iterdir()) == []


def test_the_newest_are_kept_and_none_is_removed_while_a_worker_lives(root: Path) -> None:
    def keep(*numbers: int) -> None:
        for number in numbers:
            content = f"archive {number}".encode()
            digest = hashlib.sha256(content).hexdigest()
            assert code.keep_code(Layout(root), digest, content)
            os.utime(root / "code" / f"{digest}.zip", (number, number))
            (root / "code" / f"{digest}.cpython-399-1.zip").touch()

    (root / "code").mkdir(mode=0o700)
    (root / "code" / ".left.zip.123").touch()
    (root / "workers").mkdir(mode=0o700)
    worker = os.open(root / "workers" / "r1.upgrade", os.O_RDWR | os.O_CREAT, 0o600)
    assert try_lock(worker)
    keep(1, 2, 3, 4, 5)
    assert len(kept(root)) == 10

    os.close(worker)
    keep(6)
    names = [hashlib.sha256(f"archive {number}".encode()).hexdigest() for number in (4, 5, 6)]
    assert kept(root) == {f"{name}{end}" for name in names for end in (".zip", ".cpython-399-1.zip")}
    assert not (root / "code" / ".left.zip.123").exists()


LIGHT = """
import sys
from pathlib import Path
from ansible.module_utils.testing import patch_module_args

with patch_module_args({"root": sys.argv[1], "code_digest": sys.argv[2], "code_archive": sys.argv[3],
                        "databases": [{"name": "app", "url": "sqlite:///%s/app.db" % sys.argv[1]}]}):
    from ansible_collections.hosting.alembic.plugins.modules import plan_info
    plan_info.main()
"""


def test_a_call_works_with_one_version_though_the_collection_was_replaced_meanwhile(root: Path, tmp_path: Path) -> None:
    """Ansible sends what is there at the task; the archive is that of the beginning of the run."""
    archive = tmp_path / "all.zip"
    write_archive(archive)
    plugins = tmp_path / "light" / "ansible_collections" / "hosting" / "alembic" / "plugins"
    for name in ("modules/plan_info.py", *(f"module_utils/{file}" for file in shipped("plan_info"))):
        (plugins / name).parent.mkdir(parents=True, exist_ok=True)
        # A name that the code in the archive imports from a file that was sent, too.
        (plugins / name).write_text((PLUGINS / name).read_text().replace("read_current_release", "release_of_today"))
    for folder in (plugins, *plugins.rglob("*"), *list(plugins.parents)[:3]):
        if folder.is_dir():
            (folder / "__init__.py").touch()
    words = [str(root), digest_of(archive), str(archive)]
    command = [sys.executable, "-c", LIGHT, *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env={"PYTHONPATH": str(tmp_path / "light")}
    )
    answer = json.loads(done.stdout)
    assert (answer.get("shipped"), answer.get("databases")) == (False, []), answer


def test_all_of_our_code_is_compiled(root: Path, tmp_path: Path) -> None:
    archive = tmp_path / "all.zip"
    write_archive(archive)
    used(root, digest_of(archive), archive)
    place = root / "code" / f"{digest_of(archive)}.zip"
    compiled = packed_code.locate_compiled(place)
    assert zipfile.ZipFile(compiled).namelist() == [f"{name}c" for name in zipfile.ZipFile(place).namelist()]
