# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables that look like one of the role's and are none: Ansible passes over them in silence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

_PREFIX = "migrate_"
_SPECS = Path(__file__).parents[3] / "roles" / "migrate" / "meta" / "argument_specs.yml"
_OPTION = re.compile(rf"^ +{_PREFIX}(\w+):", re.MULTILINE)
#: Read by the playbooks alone, or set by the role for the tasks of its users.
_OTHERS = {"hosts", "result"}
#: How much of a name has to be the same; people have variables of their own that begin like ours.
_ALIKE = 0.8


@cache
def list_known_variables() -> frozenset[str]:
    """Return the name of every variable of the role and of the playbooks."""
    known = [*_OPTION.findall(_SPECS.read_text(encoding="utf-8")), *_OTHERS]
    return frozenset(f"{_PREFIX}{name}" for name in known)


def list_misspelt(names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each name that is probably meant to be another."""
    given = {name[len(_PREFIX) :] for name in names if name.startswith(_PREFIX)}
    known = {name[len(_PREFIX) :] for name in list_known_variables()}
    for name in sorted(given - known):
        for meant in difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
            yield f"{_PREFIX}{name} is not a known variable and is ignored. Did you mean {_PREFIX}{meant}?"
