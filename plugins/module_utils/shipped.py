# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Which releases a host has: asked by modules before anything is imported that a release brings."""

from __future__ import annotations

import os
from pathlib import Path

from ._core.ownership import refuse_if_not_ours
from .layout import Layout

_PACKAGES = "lib/python*/site-packages"


def virtualenv_python(root: str, release: str) -> Path | None:
    """Return the Python of a release's virtualenv, or None if the release is not there whole.

    Whoever calls this is about to execute it, and what the release holds.

    Raises:
        Refused: somebody else could have put it there.
    """
    refuse_if_not_ours(Path(root), "migrate_root")
    folder = Layout(Path(root)).release(release)
    python = folder / "virtualenv" / "bin" / "python"
    if not (release and (folder / "release.json").is_file() and python.exists()):
        return None
    for path in (folder / "source", folder / "release.json"):
        refuse_if_not_ours(path, "migrate_root")
    refuse_if_not_ours_virtualenv(folder / "virtualenv")
    return python


def refuse_if_not_ours_virtualenv(virtualenv: Path) -> None:
    """Refuse a virtualenv in which somebody else may write.

    Raises:
        Refused: it is one.
    """
    for path in (virtualenv, virtualenv / "bin" / "python", *sorted(virtualenv.glob(_PACKAGES))):
        refuse_if_not_ours(path, "migrate_virtualenv")


def current_release(root: str) -> str:
    """Return the digest of the release that was shipped last, or an empty string."""
    try:
        return Path(os.readlink(Layout(Path(root)).current)).name
    except OSError:
        return ""
