# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two ways a verb can end badly. Both say what, why, and what to type next."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

#: The code of an error that no verb expects. What was begun before it may go on.
CRASHED = "module-crashed"
#: The code of a found database of which no entry can be made.
ROW_UNFIT = "discovery-row-unfit"
#: The code of a found database that a run left unfinished, and that cannot be reached any more.
ROW_LOST = "discovery-row-lost"
#: The code of a found database whose name another one of the host has.
NAME_TWICE = "database-name-twice"
#: The code of a restore that began to replace a database and did not prove that it has.
HALF_WAY = "restore-half-way"
#: The code of a restore that failed before it replaced anything.
REPLACED_NOTHING = "restore-replaced-nothing"
#: The code of a restore that the server does not permit to the role that restores; nothing was replaced.
NOT_PERMITTED = "restore-not-permitted"
#: The code of a restore that the privileges of the role, which were read, are not enough for.
NOT_POSSIBLE = "restore-not-possible"
#: The remedy of an error that says all there is to say about its cause.
CORRECT_IT = "Correct it"
#: The remedy where a file reads back differently than it was written.
CHECK_DISK = "Run again; if it happens again, check the disk of the host"
#: The remedy where a backup cannot be used.
ANOTHER_BACKUP = "Check the disk of the host, and restore another backup"
#: The remedy where a copy for a rehearsal could not be made; the database itself was only read.
OTHER_COPY = "Correct it, or name another server in rehearse_url"
#: The remedy of an error that no code foresees, so that only its cause can say what to do.
REPORT_IT = "If that does not explain it, report it as README.md says under Help"

_ENDS_IN_COMMAND = re.compile(r"ansible-playbook (?:(?!; ).)*\Z", re.DOTALL)


class ErrorFacts(TypedDict, total=False):
    """An error as data, in results and journals: the arguments of ``Refused``; an early one has no code."""

    code: str
    what: str
    why: str
    remedy: str


class Refused(Exception):
    """The request cannot be carried out safely, and nothing was changed.

    Args:
        what: what cannot be done, one sentence without a full stop.
        why: the reason, often the words of Alembic or of the server.
        remedy: what the reader can type or set next.
        code: what programs compare and docs/troubleshooting.md explains, in kebab-case; texts are for people.
    """

    def __init__(self, what: str, why: str = "", remedy: str = "", *, code: str) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        what = self.what.strip().rstrip(".") + (f" [{self.code}]" if self.code and self.what.strip() else "")
        message = ": ".join(part for part in (what, self.why.strip().rstrip(".")) if part)
        remedy = self.remedy.rstrip().rstrip(".")
        remedy = remedy if remedy.startswith("\n") else remedy.lstrip()
        # What is pasted with a full stop behind it is another command.
        stop = "" if _ENDS_IN_COMMAND.search(remedy) else "."
        return f"{message}:{remedy}" if remedy.startswith("\n") else ". ".join(filter(None, (message, remedy))) + stop

    def as_facts(self) -> ErrorFacts:
        """Return the parts as data, for results and journals."""
        return {"code": self.code, "what": self.what, "why": self.why, "remedy": self.remedy}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Refused:
        """Return the error that a result or a journal describes; one of before there were codes has none."""
        return cls(**{part: str(facts.get(part) or "") for part in ("what", "why", "remedy", "code")})

    def __reduce__(self) -> tuple[Any, ...]:
        return self._kind.of, (self.as_facts(),)

    def with_reason(self, reason: str) -> Refused:
        """Return an error of the same kind, refused or failed, with a reason in front of its own."""
        return self._kind.of({**self.as_facts(), "why": "; ".join(part for part in (reason, self.why) if part)})

    @property
    def _kind(self) -> type[Refused]:
        return Failed if isinstance(self, Failed) else Refused


class Failed(Refused):
    """Something was begun and did not end as it should; the journal knows how far it came."""


def describe_cause(error: BaseException) -> str:
    """Return what an unexpected exception is and where it was raised; its text may hold parts of a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    words = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__}{where}{words}"


def describe_unknown_keys(entry: Any, known: Iterable[str]) -> str:
    """Return for a message which keys of an entry are unknown; nothing where none is, or it is not a mapping."""
    unknown = sorted(map(str, entry.keys() - {*known})) if isinstance(entry, dict) else []
    return f"unknown keys: {', '.join(unknown)}" if unknown else ""


def describe_first(words: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return the first of some words for a message, and how many more there are."""
    shown = separator.join(words[:most])
    return f"{shown} and {len(words) - most} more" if len(words) > most else shown
