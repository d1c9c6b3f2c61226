"""The archive of the code that hosts work with."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.code import CALLED_BY_CODE, write_archive
from tests.layers import PLUGINS


def test_all_files_of_the_hosts_half_are_packed(tmp_path: Path) -> None:
    write_archive(tmp_path / "code.zip")
    root = "ansible_collections/hosting/alembic/plugins/module_utils/"
    with zipfile.ZipFile(tmp_path / "code.zip") as packed:
        found = {name.removeprefix(root): packed.read(name) for name in packed.namelist() if name.startswith(root)}
    expected = {
        str(path.relative_to(PLUGINS / "module_utils")): path.read_bytes()
        for path in (PLUGINS / "module_utils").rglob("*.py")
    }
    assert {**found, "__init__.py": b""} == {"__init__.py": b"", **expected}


def test_each_module_that_is_called_by_code_has_a_file_that_answers() -> None:
    modules = {path.stem for path in (PLUGINS / "modules").glob("*.py")}
    assert {"plan_info", "upgrade", "release"} <= CALLED_BY_CODE <= modules
    assert "preflight" not in CALLED_BY_CODE
