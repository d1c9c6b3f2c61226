"""The promise, checked on one example: old to the letter, new to the letter, or held with nothing lost."""

from __future__ import annotations

from typing import Any

from tests.property.oracle import Entries, differences
from tests.property.world import World

#: What says that a database is as it was.
_OLD = ("downgraded", "restored", "untouched", "refused", "deferred", "nothing to do", "unchanged")


def kept(world: World) -> str:
    """Run the example and return how it ended: old, new or held.

    Raises:
        AssertionError: the promise was broken, with what differs.
    """
    old = world.entries()
    return judged(world, old, world.do("upgrade"))


def judged(world: World, old: Entries, upgraded: dict[str, Any]) -> str:
    """Judge what an upgrade has left, after the revert that it needs, and return how it ended.

    Raises:
        AssertionError: the promise was broken, with what differs.
    """
    outcome = upgraded["outcome"]
    if outcome == "upgraded":
        return _new(world, upgraded)
    if outcome in _OLD:
        _is_old(world, old, upgraded)
        return "old"
    assert outcome == "failed", f"an upgrade cannot end so: {_printed(upgraded)}"
    return reverted(world, old, world.do("downgrade"))


def reverted(world: World, old: Entries, after: dict[str, Any]) -> str:
    """Judge what a revert has left, and return how it ended.

    Raises:
        AssertionError: the promise was broken, with what differs.
    """
    if after["outcome"] in _OLD:
        _is_old(world, old, after)
        return "old"
    assert after["outcome"] == "held", f"a revert cannot end so: {_printed(after)}"
    _held(world, old, after)
    return "held"


def _new(world: World, result: dict[str, Any]) -> str:
    clean = world.clean()
    now = world.entries()
    assert not isinstance(clean, str), f"upgraded, but Alembic alone fails: {clean}\n{_printed(result)}"
    found = differences(clean, now)
    assert not found, f"upgraded, but not as by Alembic alone:\n{found}\n{_printed(result)}"
    return "new"


def _is_old(world: World, old: Entries, result: dict[str, Any]) -> None:
    now = world.entries()
    found = differences(old, now)
    # What a restore renders anew says the same; all else is not what it was.
    if found:
        again = world.old_again()
        found = differences({**old, **_rendered(old, again)}, now)
    assert not found, f"said to be as it was, but it is not:\n{found}\n{_printed(result)}"


def _rendered(old: Entries, again: Entries) -> Entries:
    return {key: text for key, text in again.items() if key in old}


def _held(world: World, old: Entries, result: dict[str, Any]) -> None:
    again = world.old_again()
    lost = differences(again, world.backup_entries())
    assert not lost, f"held, but the backup does not hold what was:\n{lost}\n{_printed(result)}"
    ways = result.get("ways_out") or {}
    assert ways.get("back"), f"held without a command for the old state\n{_printed(result)}"
    assert ways.get("forward"), f"held without a command to continue\n{_printed(result)}"
    typed = world.type_command(ways["back"])
    done = typed["outcome"] in ("restored", "downgraded", "rolled_back", "typed")
    assert done, f"the printed command failed: {_printed(typed)}\n{_printed(result)}"
    _is_old(world, old, typed)


def _printed(result: dict[str, Any]) -> str:
    keys = ("outcome", "error", "reason", "notes", "ways_out", "method", "not_restored", "command", "undone")
    return "; ".join(f"{key}={result[key]}" for key in keys if result.get(key))
