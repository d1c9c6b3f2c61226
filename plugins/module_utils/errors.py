# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two ways a verb can end badly. Both say what, why, and what to type next."""

from __future__ import annotations


class Refused(Exception):
    """The request cannot be carried out safely, and nothing was changed.

    Args:
        what: what cannot be done, one sentence without a full stop.
        why: the reason, often the words of Alembic or of the server.
        remedy: what the reader can type or set next.
    """

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        said = ": ".join(part.strip().rstrip(".") for part in (self.what, self.why) if part.strip())
        return ". ".join(part for part in (said, self.remedy.strip().rstrip(".")) if part) + "."

    def facts(self) -> dict[str, str]:
        """Return the three parts as data, for results and journals."""
        return {"what": self.what, "why": self.why, "remedy": self.remedy}

    def because(self, reason: str) -> Refused:
        """Return an error of the same kind, refused or failed, with a reason in front of its own."""
        kind = Failed if isinstance(self, Failed) else Refused
        return kind(self.what, "; ".join(part for part in (reason, self.why) if part), self.remedy)


class Failed(Refused):
    """Something was begun and did not end as it should; the journal knows how far it came."""
