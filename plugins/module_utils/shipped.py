# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Which releases a host has: asked by modules before anything is imported that a release brings."""

from __future__ import annotations

import os
from pathlib import Path

from .layout import Layout


def virtualenv_python(root: str, release: str) -> Path | None:
    """Return the Python of a release's virtualenv, or None if the release is not there whole."""
    folder = Layout(Path(root)).release(release)
    python = folder / "virtualenv" / "bin" / "python"
    return python if release and (folder / "release.json").is_file() and python.exists() else None


def current_release(root: str) -> str:
    """Return the digest of the release that was shipped last, or an empty string."""
    try:
        return Path(os.readlink(Layout(Path(root)).current)).name
    except OSError:
        return ""
