"""One host, ten, twenty-five, fifty: how the time of a rollout grows, and what it takes of the controller's memory."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from ..lab import PROJECT
from .fleet import PING, ROOT, Fleet
from .measure import Comparison, Contender, Ratio, take_turns
from .memory import Peak, peak

SIZES = (1, 10, 25, 50)
HOSTS = max(SIZES)
#: A copy from before the last revision of the sample application.
BEHIND = f"{ROOT}/behind.db"
DATABASE = f"{ROOT}/app.db"


def growth(on: Fleet, turns: int) -> list[Comparison | Peak]:
    """Compare a rollout over many hosts with one over a single host: at head, and with one revision pending."""
    *_, before_the_last, _last = sorted((PROJECT / "migrations" / "versions").glob("*.py"))
    on.playbook("migrate.yml", migrate_target=before_the_last.stem.split("_")[3], migrate_rollout="100%")
    on.on_each(f"cp {DATABASE} {BEHIND}")
    on.playbook("migrate.yml", migrate_rollout="100%")
    ping = on.write("ping.yml", PING)
    pings = [Contender(f"a ping of {_hosts(n)}", partial(_run, on, ping, n)) for n in SIZES]
    at_head = [Contender(f"{_hosts(n)} at head", partial(_run, on, "migrate.yml", n)) for n in SIZES]
    pending = [
        Contender(f"{_hosts(n)}, one revision pending", partial(_migrated, on, n), partial(_set_back, on))
        for n in SIZES
    ]
    take_turns([*pings, *at_head, *pending], turns)
    figures: list[Comparison | Peak] = []
    for label, contenders in (("a ping", pings), ("nothing to do", at_head), ("one revision pending", pending)):
        one = contenders[0]
        figures += [Ratio(f"{label}: {n} hosts beside 1", many, one) for n, many in zip(SIZES, contenders) if n > 1]
    figures += [
        Ratio(f"nothing to do on {_hosts(n)}, beside a ping", ours, theirs)
        for n, ours, theirs in zip(SIZES, at_head, pings)
    ]
    return figures + _memory(on)


def _memory(on: Fleet) -> list[Comparison | Peak]:
    """Run it again without a clock: measuring takes time of its own."""
    figures: list[Comparison | Peak] = []
    for n in SIZES:
        with peak(f"the controller's memory, {_hosts(n)} at head", on.env["ANSIBLE_SSH_CONTROL_PATH_DIR"]) as found:
            _run(on, "migrate.yml", n)
        figures.append(found)
    _set_back(on)
    words = f"the controller's memory, {_hosts(HOSTS)}, one revision pending"
    with peak(words, on.env["ANSIBLE_SSH_CONTROL_PATH_DIR"]) as found:
        _migrated(on, HOSTS)
    figures.append(found)
    return figures


def _hosts(count: int) -> str:
    return "1 host" if count == 1 else f"{count} hosts"


def _run(on: Fleet, name: Path | str, count: int, _turn: int = 0) -> None:
    on.playbook(name, migrate_hosts=f"hosting[0:{count - 1}]")


def _migrated(on: Fleet, count: int, _turn: int = 0) -> None:
    """Migrate the first hosts.

    Raises:
        RuntimeError: they were not migrated; a time without work behind it means nothing.
    """
    printed = on.playbook("migrate.yml", migrate_hosts=f"hosting[0:{count - 1}]").output
    newest = max((on.folder / "manifests").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    done = sum(host["state"] == "migrated" for host in json.loads(newest.read_text())["hosts"].values())
    if done != count:
        raise RuntimeError(f"{count} hosts were meant to be migrated, and {done} were:\n{printed}")


def _set_back(on: Fleet, _turn: int = 0) -> None:
    """Put every database one revision back, as a copy from before has it."""
    on.on_each(f"cp {BEHIND} {DATABASE}")
