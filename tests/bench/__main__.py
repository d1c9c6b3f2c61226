"""Measure, side by side in one run, and say what each figure means: python -m tests.bench [--only NAME ...]."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from ..lab import PROJECT
from . import fleet, growth, many, recovery, single, thousands
from .measure import Comparison, Limited
from .memory import Peak

STATE = PROJECT / ".hosting-alembic" / "bench"
NAMES = (
    "no-op", "shipping", "growth", "sqlite", "postgresql", "mariadb", "thousands",
    "safety", "backup", "recovery", "waiting",
)  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--turns", type=int, default=5, help="how often each is measured; the median counts")
    parser.add_argument("--large", action="store_true", help="measure recovery at 1 GB as well, which takes long")
    return parser.parse_args()


def _measured(names: list[str], turns: int, large: bool, folder: Path) -> list[Comparison | Limited | Peak]:
    found: list[Comparison | Limited | Peak] = []
    if {"no-op", "shipping"} & set(names):
        with fleet.fleet(STATE / "lab", folder) as hosts:
            no_op = fleet.no_op(hosts, turns if "no-op" in names else 0)
            found += no_op if "no-op" in names else []
            if "shipping" in names:
                found += fleet.shipping(hosts, turns)
    if "growth" in names:
        (folder / "growth").mkdir()
        with fleet.fleet(STATE / "lab", folder / "growth", growth.HOSTS) as hosts:
            found += growth.growth(hosts, turns)
    for name, place_of in (("sqlite", many.files), ("postgresql", many.server), ("mariadb", many.mariadb)):
        if name in names:
            with place_of(folder) as place:
                found += many.Many(folder, place).measure(turns)
    if "thousands" in names:
        found += thousands.thousands(folder / "thousands", turns)
    for name, measure in (("safety", single.safety), ("backup", single.backup), ("waiting", single.waiting)):
        if name in names:
            found += measure(folder / name, turns)
    if "recovery" in names:
        found += recovery.recovery(folder / "recovery", turns, large)
    return found


def _ended(signum: int, _frame: object) -> NoReturn:
    """Exit in the ordinary way, so that hosts and servers are removed."""
    sys.exit(128 + signum)


def main() -> int:
    """Measure what is requested, print the figures, and fail if one is beyond its limit."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _ended)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hosting-alembic-bench-") as folder:
        found = _measured(arguments.only, arguments.turns, arguments.large, Path(folder))
    cores = len(os.sched_getaffinity(0))
    print(f"\nOurs divided by theirs, medians of {arguments.turns}, on {cores} cores ({platform.platform()});")
    print("with + and s it is ours less theirs.\n")
    print("\n\n".join(figure.reported() for figure in found))
    limited = [figure for figure in found if figure.limit]
    kept = sum(figure.kept for figure in limited)
    print(f"\n{kept} of {len(limited)} limits kept, {time.monotonic() - begun:.0f} s in all.")
    return 0 if kept == len(limited) else 1


if __name__ == "__main__":
    sys.exit(main())
