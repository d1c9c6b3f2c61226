"""What a command needs in memory: all processes that it starts, and those that keep its connections open."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_EVERY = 0.25  # seconds
#: The most that a process ever needed is read of it, but at its end, and most processes end between two readings.
_EVERY_OF_NAMED = 0.02
_PROC = Path("/proc")


@dataclass
class Peak:
    """The most that was seen at one moment, in bytes. Pages that processes share count once in ``shared_out``."""

    meaning: str
    shared_out: int = 0
    #: The largest single process, with what it shares with its forks.
    largest: int = 0
    processes: int = 0
    connections: int = 0
    #: The largest single one with the words in its command.
    largest_named: int = 0
    kept: bool = True
    limit: float | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def reported(self) -> str:
        """Return what was seen, in words."""
        largest = f"{self.largest >> 20} MB in the largest"
        counted = f"{self.processes} processes from ansible-playbook on, {self.connections} that keep connections"
        return f"{self.shared_out >> 20:>5} MB  {self.meaning}\n          {largest}; {counted}"

    def watch(self, words: str) -> None:
        """Measure again and again until stopped."""
        while not self._over.wait(_EVERY):
            ours, connections = _descendants(os.getpid()), _with_words(words)
            found = {pid: _memory(pid) for pid in ours | connections}
            total = sum(pss for pss, _rss in found.values())
            if total > self.shared_out:
                self.shared_out, self.processes, self.connections = total, len(ours), len(connections - ours)
            self.largest = max([self.largest, *(rss for _pss, rss in found.values())])

    def watch_named(self, words: str) -> None:
        """Read the most that the kernel has counted of each process with the words, until stopped."""
        while not self._over.wait(_EVERY_OF_NAMED):
            self.largest_named = max([self.largest_named, *(_peak(pid) for pid in _with_words(words))])

    def end(self) -> None:
        """Stop measuring."""
        self._over.set()


@contextmanager
def peak(meaning: str, words: str, *, closely: bool = False) -> Iterator[Peak]:
    """Watch the memory of what is run meanwhile.

    Args:
        meaning: what is run.
        words: are in the command line of what keeps connections, which has no parent here.
        closely: also read the most that each process with the words has ever needed.
    """
    found = Peak(meaning)
    watches = [found.watch, *([found.watch_named] if closely else [])]
    watchers = [threading.Thread(target=watch, args=(words,), daemon=True) for watch in watches]
    for watcher in watchers:
        watcher.start()
    try:
        yield found
    finally:
        found.end()
        for watcher in watchers:
            watcher.join()


def _descendants(of: int) -> set[int]:
    parents = {}
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    found = {of}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {of}


def _with_words(words: str) -> set[int]:
    found = set()
    for path in _PROC.glob("[0-9]*/cmdline"):
        try:
            if words.encode() in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found - {os.getpid()}


def _peak(pid: int) -> int:
    """Return the most that a process had resident until now."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)


def _memory(pid: int) -> tuple[int, int]:
    """Return a process's proportional and its resident memory."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0, 0
    facts = {key: int(value.split()[0]) << 10 for key, value in (line.split(":", 1) for line in lines)}
    return facts.get("Pss", 0), facts.get("Rss", 0)
