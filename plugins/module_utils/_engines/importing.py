# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A function that is called at the end of the import of some modules, by whichever finder they are found."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Container, Sequence
from importlib.machinery import ModuleSpec
from typing import Any


class AtImport(importlib.abc.MetaPathFinder):
    """Calls a function with each module of these names when it was imported; to be put into ``sys.meta_path``."""

    def __init__(self, names: Container[str], function: Callable[[Any], None]) -> None:
        self._names = names
        self._function = function

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        """Return what the other finders find, with a loader that calls the function in the end."""
        if fullname not in self._names:
            return None
        finders = [finder for finder in sys.meta_path if finder is not self]
        spec = next((found for found in (each.find_spec(fullname, path, target) for each in finders) if found), None)
        loader: Any = spec.loader if spec else None
        if loader is not None:
            execute = loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                self._function(module)

            loader.exec_module = exec_module
        return spec
