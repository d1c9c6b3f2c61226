"""Measure, side by side in one run, and say what each ratio means: python -m tests.bench [--only NAME ...]."""

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
from . import fleet, many
from .measure import Contender, Ratio

STATE = PROJECT / ".hosting-alembic" / "bench"
NAMES = ("no-op", "shipping", "sqlite", "postgresql")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--turns", type=int, default=5, help="how often each is measured; the median counts")
    return parser.parse_args()


def _measured(names: list[str], turns: int, folder: Path) -> list[Ratio]:
    ratios: list[Ratio] = []
    if {"no-op", "shipping"} & set(names):
        with fleet.fleet(STATE / "lab", folder) as hosts:
            ratios += fleet.no_op(hosts, turns if "no-op" in names else 0)
            if "shipping" in names:
                ratios += fleet.shipping(hosts, turns)
    for name, place_of in (("sqlite", many.files), ("postgresql", many.server)):
        if name in names:
            with place_of(folder) as place:
                ratios += many.Many(folder, place).measure(turns)
    return [ratio for ratio in ratios if ratio.ours.seconds]


def _shown(ratio: Ratio) -> str:
    verdict = "kept" if ratio.kept else "MISSED"
    return (
        f"{_number(ratio.value):>6}  at most {_number(ratio.limit)}: {verdict}\n"
        f"        {ratio.meaning}\n"
        f"        {_times(ratio.ours)}, {_times(ratio.theirs)}"
    )


def _times(contender: Contender) -> str:
    whole = contender.median_of_whole
    started = f" ({whole:.2f} s with the start of Ansible)" if whole > contender.median else ""
    return f"{contender.name} {contender.median:.2f} s{started}"


def _number(value: float) -> str:
    return f"1/{1 / value:.3g}" if value < 1 else f"{value:.3g}"


def _ended(signum: int, _frame: object) -> NoReturn:
    """Leave through the front door, so that hosts and servers are removed."""
    sys.exit(128 + signum)


def main() -> int:
    """Measure what is asked for, print the ratios, and fail if one is beyond its limit."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _ended)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hosting-alembic-bench-") as folder:
        ratios = _measured(arguments.only, arguments.turns, Path(folder))
    cores = len(os.sched_getaffinity(0))
    print(f"\nOurs divided by theirs, medians of {arguments.turns}, on {cores} cores ({platform.platform()}).\n")
    print("\n\n".join(_shown(ratio) for ratio in ratios))
    print(f"\n{sum(ratio.kept for ratio in ratios)} of {len(ratios)} kept, {time.monotonic() - begun:.0f} s in all.")
    return 0 if all(ratio.kept for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
