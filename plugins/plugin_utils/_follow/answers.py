# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answers that each module may give. A host that was taken over answers what it likes; nothing else is passed on.

``ansible_facts`` in a result outrank the inventory, so an answer that is passed on whole can set any variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._discovery.names import SAFE

from .shapes import Base64, Choice, Either, Flag, Items, Match, Named, Number, Opaque, Record, Shape, Table, Text, Whole

#: The bytes of a backup that one call may return.
PART = 8 << 20

_RUN = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63})?")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,127})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_LINE = Text(2000, lines=False)
_LINES = Items(_LINE)
_TEXT = Text()
_NUMBER = Number()
_RUN_ID = Match(_RUN)
_WHOLE = Number(whole=True)
_FOUND_NAME = Match(SAFE)
_REASON = Whole({"code": _LINE, "what": _TEXT, "why": _TEXT, "remedy": _TEXT})
_REASONS = Items(_REASON)
_STEP = Record({"revision": _LINE, "message": _LINE, "seconds": _NUMBER, "table": _LINE, "branch": _LINE})
_STEPS = Items(_STEP)
_LEFTOVER = Record(
    {
        **dict.fromkeys(("kind", "name", "made", "outcome", "reason"), _LINE),
        "run": _RUN_ID,
        **dict.fromkeys(("size", "days"), _NUMBER),
        "old": Flag(),
    }
)
_BACKUP = Record(
    {
        **dict.fromkeys(
            ("database", "taken", "engine", "server", "identity", "tool", "dump", "path", "release"), _LINE
        ),
        **dict.fromkeys(("size", "seconds"), _NUMBER),
        "run": _RUN_ID,
        "heads": Table(_LINES),
        "sealed": Record({"tool": _LINE, "file": _LINE, "sha256": _LINE, "size": _NUMBER}),
        "copies": Table(_LINE),
    }
)
_LISTED = Items(
    Record(
        {
            **dict.fromkeys(("path", "taken", "engine"), _LINE),
            **dict.fromkeys(("age", "size"), _NUMBER),
            **dict.fromkeys(("proven", "sealed"), Flag()),
            "run": _RUN_ID,
            "revision": _LINES,
            "copies": Table(_LINE),
            "problem": _REASON,
        }
    )
)
_LAST_RUN = Record({"run": _RUN_ID, "at": _LINE, "outcome": _LINE, "net_outcome": _LINE, "error": _REASON})
_MAINTENANCE = Record(
    {
        **dict.fromkeys(("since", "file"), _LINE),
        "run": _RUN_ID,
        **dict.fromkeys(("databases", "services", "pools"), _LINES),
        "seconds": _NUMBER,
        "kept_by": Items(Record({"name": _LINE, "state": Choice(("held", "cut_short", "running")), "run": _RUN_ID})),
        "ended": Flag(),
    }
)
_FOLLOWED: dict[str, Shape] = {"finished": Flag(), "lines": _LINES, "cursor": Opaque()}
_EVERY: dict[str, Shape] = {
    "changed": Flag(),
    "failed": Flag(),
    "unreachable": Flag(),
    "skipped": Flag(),
    "msg": Text(200_000),
    "error": _REASON,
    "code": _LINE,
    "diff": Record({"before": Text(200_000), "after": Text(200_000)}),
    "warnings": Items(_LINE, 100),
}

_FORECAST = Record(
    {"method": _LINE, "not_restored": Items(_TEXT), "obstacle": _REASON, "notes": Items(_TEXT), "rights": _TEXT}
)
_PLANNED: dict[str, Shape] = {
    **dict.fromkeys(("engine", "url", "server", "identity", "instance", "target"), _LINE),
    **dict.fromkeys(("current", "heads", "unexpanded"), _LINES),
    "can_be_shared": Flag(),
    "pending": _STEPS,
    "expected_seconds": _NUMBER,
    **dict.fromkeys(("obstacles", "changed_history"), _REASONS),
    "notes": Items(_TEXT),
    "restore": _FORECAST,
}
_WORKED_ON: dict[str, Shape] = {
    **dict.fromkeys(("outcome", "identity", "target", "retained", "method"), _LINE),
    "of_run": _RUN_ID,
    **dict.fromkeys(("before", "after"), _LINES),
    **dict.fromkeys(("changed", "interrupted"), Flag()),
    **dict.fromkeys(("error", "upgrade_error"), _REASON),
    **dict.fromkeys(("not_restored", "notes", "elsewhere"), Items(_TEXT)),
    "reason": _TEXT,
    "seconds": _NUMBER,
    "backup": _BACKUP,
    "backup_problems": _REASONS,
    "ways_out": Table(_TEXT, most=10),
}
_UPGRADED = {**_WORKED_ON, "applied": _STEPS, "lost_rows": Table(Items(_NUMBER, 2))}
_REVERTED = {**_WORKED_ON, "undone": _STEPS}
_REHEARSED: dict[str, Shape] = {
    **_WORKED_ON,
    "goal": _LINES,
    "backup_taken": Flag(),
    "models": Items(_TEXT),
    **dict.fromkeys(("upgrade_seconds", "expected_seconds"), _NUMBER),
    "revisions": Items(
        Record(
            {
                **dict.fromkeys(("revision", "message", "table", "verdict"), _LINE),
                **dict.fromkeys(("why", "again_error"), _TEXT),
                **dict.fromkeys(("seconds", "space"), _NUMBER),
                "locks": Table(_LINE),
                "data_loss": Items(Record(dict.fromkeys(("table", "column", "what"), _LINE))),
                "schema": Items(_TEXT),
                "again": Flag(),
            }
        )
    ),
}
_STATUS: dict[str, Shape] = {
    "server": _LINE,
    "current": _LINES,
    "pending": _STEPS,
    **dict.fromkeys(("problems", "changed_history", "backup_problems"), _REASONS),
    "retained": Items(_LEFTOVER),
    **dict.fromkeys(("last_run", "last_change"), _LAST_RUN),
    "last_backup": _BACKUP,
    "backups": _LISTED,
}
_PRUNED: dict[str, Shape] = {"outcome": _LINE, "changed": Flag(), "leftovers": Items(_LEFTOVER), "error": _REASON}

# What a module says of each database, beside its name.
_DATABASES: dict[str, dict[str, Shape]] = {
    "backup": {**_WORKED_ON, "restore": _FORECAST},
    "backups_info": {"backups": _LISTED, "more": _WHOLE, "problem": _REASON},
    "downgrade": _REVERTED,
    "plan_info": _PLANNED,
    "prune": _PRUNED,
    "recover": {**_UPGRADED, **_REVERTED, "dropped": _LINES},
    "rehearse": _REHEARSED,
    "restore": _WORKED_ON,
    "rollback": _REVERTED,
    "status_info": _STATUS,
    "upgrade": _UPGRADED,
}

# What a module says besides.
_MODULES: dict[str, dict[str, Shape]] = {
    "backup": _FOLLOWED,
    "backups_info": {},
    "downgrade": _FOLLOWED,
    "fetch_backups": {"waiting": Items(Record({})), "data": Base64(PART)},  # its list is made below
    "health": {
        **_FOLLOWED,
        "results": Items(Record({"check": _TEXT, "passed": Flag(), "why": _TEXT})),
        "tries": _WHOLE,
    },
    "maintenance": {"done": _LINES, "maintenance": _MAINTENANCE},
    "plan_info": {
        **dict.fromkeys(("shipped", "pending", "left_maintenance", "finished"), Flag()),
        "total": _WHOLE,
        "release": _LINE,
        "unrecovered": _LINES,
        "refusals": Items(_TEXT),
        "maintenance": _MAINTENANCE,
        "found": Items(Record({"source": _LINE, "names": Items(_FOUND_NAME)}), 1000),
    },
    "prune": {},
    "recover": {**_FOLLOWED, "strangers": _LINES},
    "rehearse": _FOLLOWED,
    "release": {
        "needs": Items(Choice(("archive", "wheelhouse"))),
        **dict.fromkeys(("release", "path", "virtualenv"), _LINE),
        "pruned": _LINES,
    },
    "restore": _FOLLOWED,
    "rollback": {**_FOLLOWED, "of_run": _RUN_ID},
    "status_info": {
        "finished": Flag(),
        "total": _WHOLE,
        "release": _LINE,
        "runs": Items(_RUN_ID, 100_000),
        "maintenance": _MAINTENANCE,
    },
    "upgrade": _FOLLOWED,
}


def answer_of(module: str, names: tuple[str, ...], *, finds: bool = False) -> Record:
    """Return what a module may answer.

    Args:
        module: its name without the collection's.
        names: the databases that it was called with; a host has no others to speak of.
        finds: whether the host finds databases itself, whose names are of one form.
    """
    name: Shape = Either(Choice(names), _FOUND_NAME) if finds else Choice(names)
    fields = {**_EVERY, **_MODULES[module]}
    if module in _DATABASES:
        # Health and the others that fail as a whole leave it empty.
        fields["databases"] = Named(Record({"name": name, **_DATABASES[module]}))
    elif module == "fetch_backups":
        file = Record({"name": Match(_FILE), "size": _WHOLE, "sha256": Match(_SHA256)})
        backup = {"database": name, "run": Match(_RUN), "files": Items(file, 200_000)}
        fields["waiting"] = Items(Record(backup), 1000)
    return Record(fields)


def has_sources(arguments: Mapping[str, Any]) -> bool:
    """Return whether a module is called with sources of databases, or with the names of such sources."""
    return bool(arguments.get("discover") or arguments.get("found_by"))


def list_names(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the databases that a module is called with."""
    entries = arguments.get("databases") or []
    return tuple(str(entry["name"]) if isinstance(entry, Mapping) else str(entry) for entry in entries)
