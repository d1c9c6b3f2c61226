# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The publications that a restore makes anew: those that belong to the role that restores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .ownership import may_act_as

if TYPE_CHECKING:
    from .psql import Contents

#: The entries of an archive that are about publications, their tables and schemas among them.
ENTRIES = ("PUBLICATION", "COMMENT - PUBLICATION")

#: Roles whose publications the current one may drop and make.
ROLES = f"select rolname, 1 from pg_roles where {may_act_as('oid')}"

#: They would stay bound to the tables that are moved away.
DROP = f"select format('drop publication %I', pubname) from pg_publication where {may_act_as('pubowner')}"


def select_own_entries(contents: Contents, roles: Iterable[str]) -> list[str]:
    """Return the lines of an archive's table of contents about publications of some roles, in their order."""
    ends = tuple(f" {role}" for role in roles)
    return [line for line in contents.select_lines(ENTRIES) if line.endswith(ends)]
