"""Code that is compiled beside its archive."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from ansible_collections.hosting.alembic.plugins.module_utils._core.packed_code import compile_beside, locate_compiled
from ansible_collections.hosting.alembic.plugins.module_utils._module.call import CODE, call_python
from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.code import write_archive
from tests.unit.stage import Host, in_process


def test_what_is_compiled_is_not_replaced(tmp_path: Path) -> None:
    """A process that imports from an archive knows where in it things are, and opens it again for each."""
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as packing:
        packing.writestr("a.py", "A = 1\n")
    compile_beside(archive)
    before = locate_compiled(archive).stat()
    compile_beside(archive)
    after = locate_compiled(archive).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_this_python_does_not_understand_stops_none_of_the_others(tmp_path: Path) -> None:
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as packing:
        packing.writestr("a.py", "A = 1\n")
        packing.writestr("later.py", "a later form of Python\n")
    compile_beside(archive)
    assert zipfile.ZipFile(locate_compiled(archive)).namelist() == ["a.pyc", "later.py"]


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "missing" / "code.zip"
    assert compile_beside(archive) is False
    assert not locate_compiled(archive).exists()
    assert list(tmp_path.iterdir()) == []


def test_the_process_of_the_virtualenv_compiles_for_its_own_python(host: Host, tmp_path: Path) -> None:
    """It is another Python than the module's, often; where it may keep nothing, it compiles nothing."""
    host.ship("generic")
    archive = tmp_path / "code.zip"
    write_archive(archive)

    def plan(kept: str) -> bool:
        CODE.archive, CODE.kept = archive, kept
        options = {"root": str(host.root), "release": "generic", "databases": []}
        assert call_python("_plan.entry", Path(sys.executable), "plan", options) == {"databases": []}
        return locate_compiled(archive).exists()

    assert not in_process(lambda: plan("read_only"))
    locate_compiled(archive).write_text("planted beside what was sent to a temporary folder")
    assert in_process(lambda: plan(""))
    locate_compiled(archive).unlink()
    assert in_process(lambda: plan("writable"))
    archive.unlink()  # from now on it can only be what was compiled
    assert in_process(lambda: plan("read_only"))


def test_an_archive_is_the_same_each_time_and_imported_without_anything_else(tmp_path: Path) -> None:
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    write_archive(one)
    write_archive(other)
    assert one.read_bytes() == other.read_bytes()
    script = "import sys; sys.path[:1] = [sys.argv[1]]\n"
    script += "import ansible_collections.hosting.alembic.plugins.module_utils._core.job as job; print(job.__file__)"
    command = [sys.executable, "-I", "-c", script, str(one)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout
    assert found.startswith(str(one))
