# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records: one JSON object a file, with the number of its format, which another version of the collection reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .errors import Refused
from .paths import write_durably

#: The format of journals, manifests and records that are written now; earlier ones have no number. It rises when a key
#: gets another meaning, and each earlier format is read.
FORMAT = 1

#: The code of a record that a later version has written in a format of its own.
OF_LATER_VERSION = "record-of-later-version"


class LaterFormat(Refused):
    """A later version has written a record in a format that this one does not know.

    Args:
        what: the path of the record, or what it is.
        number: of its format.
    """

    def __init__(self, what: object, number: object) -> None:
        super().__init__(
            f"{what} was written by a later version of hosting.alembic",
            f"its format is {number}, and this version reads up to {FORMAT}",
            "Type `ansible-galaxy collection install --upgrade hosting.alembic` on the controller, and run again",
            code=OF_LATER_VERSION,
        )


def write_record(
    path: Path, facts: Mapping[str, Any], *, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> None:
    """Write a record whole or not at all, flushed to disk, with the number of its format (mode 0600).

    Args:
        path: of the file, in a folder that is there.
        facts: what the record holds, as plain data.
        indent: as of ``json.dumps``.
        default: as of ``json.dumps``.
    """
    write_durably(path, json.dumps({"format": FORMAT, **facts}, indent=indent, default=default) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """Return a record of this version or of an earlier one, which may have no number.

    Raises:
        LaterFormat: a later version has written it in a format of its own.
        OSError: it cannot be read; ``FileNotFoundError`` if there is none.
        ValueError: it is not a record.
    """
    return check_format(json.loads(path.read_text(encoding="utf-8")), path)


def check_format(facts: Any, what: object) -> dict[str, Any]:
    """Return the facts of a record if this version knows their format.

    Args:
        facts: as they were read.
        what: the path of the record, or what it is, for a message.

    Raises:
        LaterFormat: a later version has written it in a format of its own.
        ValueError: it is not a record.
    """
    if not isinstance(facts, dict):
        raise ValueError("a record is a mapping")  # noqa: TRY004 - what JSON is, is a value
    number = facts.get("format", 0)
    if not isinstance(number, int):
        raise ValueError(f"its format is {number!r}, and not a number")  # noqa: TRY004
    if number > FORMAT:
        raise LaterFormat(what, number)
    return facts


def select_known_facts(record: type, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a class of records knows of some facts; another version may have added keys."""
    known = {each.name for each in fields(record)}
    return {key: value for key, value in facts.items() if key in known}
