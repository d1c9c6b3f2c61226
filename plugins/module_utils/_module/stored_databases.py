# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases of a module that reads files only: those that are listed, and those of the list that was kept."""

from __future__ import annotations

from collections.abc import Iterable

from .._core.argument_specs import Options
from .._core.selection import is_selected, list_patterns
from .._discovery.found_list import read_last_list, read_lists_of_run


def list_kept_names(options: Options) -> list[str]:
    """Return the names of found databases that are kept for the run, else of the last list of each source.

    Args:
        options: root, found_in and found_by, the names of the sources.
    """
    of_run = read_lists_of_run(options["root"], options.get("found_in") or [])
    lists = [of_run.get(name) or read_last_list(options["root"], name) for name in options.get("found_by") or []]
    return [name for found in lists if found for name in found.names]


def select_names(listed: Iterable[str], options: Options) -> list[str]:
    """Return the names of listed and of found databases that are wanted, each once."""
    patterns = list_patterns(options.get("select"))
    names = dict.fromkeys([*listed, *list_kept_names(options)])
    return [name for name in names if is_selected(name, patterns)]
