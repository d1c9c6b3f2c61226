# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that a run knows of each database, in a file: what is printed of many databases is grouped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.utils.display import Display

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import (
    build_key,
    check_run_id,
    make_private_directory,
    write_durably,
)
from ansible_collections.hosting.alembic.plugins.module_utils._core.records import write_record

display = Display()

#: The folders of so many runs are kept.
KEPT = 200
#: Is in each folder that was made here: what else lies beside them is an operator's.
_MADE_HERE = ".details"


def keep_details(folder: str, run: str, name: str, facts: Mapping[str, Any]) -> str:
    """Write what is known of each database into the folder of a run, and return where, or nothing where it is not kept.

    A report must not fail for it: what prevents it is a warning.

    Args:
        folder: the folder of the manifests on the controller; nothing where none is kept.
        run: the id of the run.
        name: of the file.
        facts: results of modules, which hold no secrets.
    """
    if not folder:
        return ""
    try:
        place = Path(folder).expanduser().absolute() / check_run_id(run)
        is_new = not place.exists()
        make_private_directory(place)
        if is_new:
            write_durably(place / _MADE_HERE, "")
        path = place / f"{build_key(name)}.json"
        write_record(path, facts, indent=1, default=str)
        _forget(place.parent)
    except (OSError, Refused) as error:
        display.warning(f"What is known of each database could not be kept below {folder}: {error}")
        return ""
    return str(path)


def describe_where(path: str) -> str:
    """Return what says where each database is to be read."""
    return f"Each database: {path}" if path else "-v prints each database."


def _forget(folder: Path) -> None:
    found = [path for path in folder.iterdir() if not path.is_symlink() and (path / _MADE_HERE).is_file()]
    for path in sorted(found, key=lambda each: each.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
