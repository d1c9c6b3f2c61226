# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning with a release that is not on the host, for check mode: nothing of it is left afterwards."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from .._core.errors import Refused
from .._core.paths import Layout
from .._core.results import PlanFacts
from .._release.install import Installation, Installer
from .._release.lookup import find_virtualenv_python
from .call import call_plan


def plan_with_unshipped(options: dict[str, Any]) -> list[PlanFacts]:
    """Install a release into a temporary folder, make its plan, and remove it.

    Raises:
        Refused: it cannot be installed or cannot plan.
    """
    folder = tempfile.mkdtemp(prefix="hosting.alembic-")
    try:
        wanted = Installation.from_options(options["installation"])
        installer = Installer(Layout(Path(folder)), wanted, lender=Layout(Path(options["root"])))
        installer.install(options["archive"], options["wheelhouse_archive"] or "")
        python = find_virtualenv_python(folder, wanted.release)
        if python is None:
            raise Refused(
                "The release could not be tried in a temporary folder",
                folder,
                "Check migrate_virtualenv and migrate_python",
                code="release-check-failed",
            )
        staged = {**options, "root": folder, "shipping_makes": options["root"]}
        return call_plan(python, staged)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
