"""Run every fault and write docs/reliability.md from what came of it: python -m tests.faults.

With the word left, name the faults that `make test` leaves to it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.faults.daily import left
from tests.faults.suite import FAULTS
from tests.lab import PROJECT

DOCUMENT = PROJECT / "docs" / "reliability.md"
HEAD = """# Reliability

After any run, of any outcome, a database is exactly at its old revision, exactly at its new one, or held with
nothing lost. `make faults` breaks that on purpose and writes this page from what it measured; change
`tests/faults/`, not the page.

Each fault happens for real, to a run of `migrate.yml` that leads a database with rows in it over three revisions.
All schema and all rows are written out before and after by the database's own programs (`pg_dump`, Python's
`sqlite3`), without Alembic's version table and without what a restore sets aside. *Ended* says what the run left:
`old` or `new`, the same text and the same revision to the letter; `held`, with the old content brought back from
the backup and compared; `cut short`, where nobody was left to lead the database back. Then the fault is taken away,
the printed way back is typed where the database is held, and one more `migrate.yml` has to end at head with the
text of an upgrade by Alembic alone. *Recovered* is how many seconds that takes. `nothing` means that one has not
passed: the promise is broken there, or the fault did not happen.

"""
PARTS = {
    "processes": "Processes that are ended",
    "servers": "Servers, sessions and roles",
    "disks": "Disks",
    "dumps": "Damaged backups",
    "locks": "Others who use the database",
    "revisions": "Revisions, releases and env.py",
    "names": "Names",
    "clocks": "Clocks",
}


def document(notes: Iterable[dict[str, Any]]) -> str:
    """The page, from what every fault left behind."""
    everything = sorted(notes, key=lambda note: (note["order"], note["engine"]))
    text = HEAD + _sum(everything)
    for part, title in PARTS.items():
        rows = [_row(note) for note in everything if note["part"] == part]
        text += f"\n## {title}\n\n| fault | engine | ended | recovered (s) |\n| --- | --- | --- | --- |\n"
        text += "".join(rows)
    return text + _not_run(everything)


def _sum(notes: list[dict[str, Any]]) -> str:
    passed = [note for note in notes if note["passed"]]
    seconds = sorted(note["seconds"] for note in passed)
    if not seconds:
        return "No fault has passed.\n"
    return (
        f"Of {len(notes)} faults, each counted once per engine, {len(passed)} kept the promise. "
        f"Recovered after {seconds[len(seconds) // 2]} s in the middle and {seconds[-1]} s at most.\n"
    )


def _row(note: dict[str, Any]) -> str:
    ended, seconds = (note["ended"], note["seconds"]) if note["passed"] else ("nothing", "")
    return "" if note.get("skipped") else f"| {note['words']} | {note['engine']} | {ended} | {seconds} |\n"


def _not_run(notes: list[dict[str, Any]]) -> str:
    rows = [f"- {note['words']} ({note['engine']}): {note['skipped']}\n" for note in notes if note.get("skipped")]
    return "\n## What could not run\n\n" + "".join(rows) if rows else ""


def main(words: list[str]) -> int:
    if words == ["left"]:
        print("left to make faults:", *(f"  {line}" for line in left(FAULTS)), sep="\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="hosting-alembic-faults-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "tests/faults", "--numprocesses", "2", "--dist", "worksteal"],
            cwd=PROJECT,
            env={**os.environ, "HOSTING_ALEMBIC_FAULTS": folder},
            check=False,
        )
        notes = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    DOCUMENT.write_text(document(notes))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
