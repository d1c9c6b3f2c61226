"""Run every fault and write docs/reliability.md from what came of it: python -m tests.faults.

With the word left, name the faults that `make test` leaves to it. Other words go to pytest: with HOSTING_ALEMBIC_FAULTS
naming a folder, portions (`-k dumps`) add up there to one page.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests.faults.daily import left
from tests.faults.suite import FAULTS
from tests.lab import PROJECT
from tests.property.counts import section

DOCUMENT = PROJECT / "docs" / "reliability.md"
HEAD = """# Reliability

After any run, of any outcome, a database is exactly at its old revision, exactly at its new one, or held with
nothing lost. `make faults` breaks that on purpose and writes this page from what it measured; change
`tests/faults/`, not the page.

Each fault happens for real, to a run of `migrate.yml` that leads a database with rows in it over three revisions.
All schema and all rows are written out before and after by the database's own programs (`pg_dump`,
`mariadb-dump`, `sqlite3`), without Alembic's version table and without what a restore retained. *Ended* says what the
run left: `old` or `new`, the same text and the same revision to the letter; `held`, with the old content brought back
from the backup and compared; `cut short`, where no process was left to revert the database. Then the fault is taken
away, the printed revert is typed where the database is held, and one more `migrate.yml` has to end at head with the
text of an upgrade by Alembic alone. *Recovered* is how many seconds that takes, on two cores that have other work too;
most of them are Ansible's. `nothing` means that one has not passed: the promise is broken there, or the fault did not
happen.

"""
PARTS = {
    "processes": "Processes that are ended",
    "steps": "Workers that are ended at each step",
    "links": "The link of the host",
    "servers": "Servers, sessions and roles",
    "mariadb_servers": "Servers, sessions and users of MariaDB",
    "disks": "Disks",
    "dumps": "Damaged backups",
    "locks": "Others who use the database",
    "mariadb_others": "Others who use a database of MariaDB",
    "revisions": "Revisions, releases and env.py",
    "mariadb_revisions": "Revisions of MariaDB that fail in their middle",
    "names": "Names",
    "clocks": "Clocks",
}


FOLDERS = ("tests/faults", "tests/property")
#: So many random examples in this many tests, whose seeds are their numbers.
RANDOM = {"HOSTING_ALEMBIC_EXAMPLES": "2400", "HOSTING_ALEMBIC_SHARDS": "12"}


def document(notes: Iterable[dict[str, Any]], examples: str = "") -> str:
    """The page, from what every fault left behind, with the section about random examples."""
    by_fault = {(note["part"], note["words"], note["engine"]): note for note in notes}
    found = [(fault, by_fault.get((fault.part, fault.words, fault.engine))) for fault in FAULTS]
    text = HEAD + _sum([note for _fault, note in found if note])
    for part, title in PARTS.items():
        text += f"\n## {title}\n\n| fault | engine | ended | recovered (s) |\n| --- | --- | --- | --- |\n"
        text += "".join(_row(note) for fault, note in found if note and fault.part == part)
    text += examples
    skipped = [f"{fault.words} ({fault.engine}): {note['skipped']}" for fault, note in found if note and _skipped(note)]
    missing = [f"{fault.words} ({fault.engine}): it has not been run" for fault, note in found if not note]
    lines = "".join(f"- {line}\n" for line in skipped + missing)
    return text + (f"\n## What did not run\n\n{lines}" if lines else "")


def _skipped(note: dict[str, Any]) -> bool:
    return bool(note.get("skipped"))


def _sum(notes: list[dict[str, Any]]) -> str:
    passed = [note for note in notes if note["passed"]]
    seconds = sorted(note["seconds"] for note in passed)
    if not seconds:
        return "No fault has passed.\n"
    ran = len(notes) - len([note for note in notes if _skipped(note)])
    return (
        f"Of {ran} faults, each counted once per engine, {len(passed)} kept the promise. "
        f"Recovered after {seconds[len(seconds) // 2]} s in the middle and {seconds[-1]} s at most.\n"
    )


def _row(note: dict[str, Any]) -> str:
    ended, seconds = (note["ended"], note["seconds"]) if note["passed"] else ("nothing", "")
    return "" if _skipped(note) else f"| {note['words']} | {note['engine']} | {ended} | {seconds} |\n"


def main(words: list[str]) -> int:
    if words == ["left"]:
        print("left to make faults:", *(f"  {line}" for line in left(FAULTS)), sep="\n")
        return 0
    # A folder that is named is kept, so that portions can be run one after the other.
    kept = os.environ.get("HOSTING_ALEMBIC_FAULTS")
    with nullcontext(kept) if kept else tempfile.TemporaryDirectory(prefix="hosting-alembic-faults-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *FOLDERS, "--numprocesses", "2", "--dist", "worksteal", *words],
            cwd=PROJECT,
            env={**RANDOM, **os.environ, "HOSTING_ALEMBIC_FAULTS": folder},
            check=False,
        )
        examples = section(Path(folder))
        notes = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    DOCUMENT.write_text(document(notes, examples))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
