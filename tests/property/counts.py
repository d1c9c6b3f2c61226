"""How many examples there were, of which kinds, and how they ended: for docs/reliability.md."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from tests.property.examples import NOT_YET, Example


class Counts:
    """What one test has tried."""

    def __init__(self, engine: str, shard: int) -> None:
        self.engine = engine
        self.shard = shard
        self.ended: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()

    def add(self, example: Example, ended: str) -> None:
        """Count an example that kept the promise."""
        self.ended[ended] += 1
        self.kinds.update(example.kinds)
        self.ways.update({step.way for revision in example.revisions for step in revision.forward})

    def write(self) -> None:
        """Leave the counts for the page, where one is written."""
        if folder := os.environ.get("HOSTING_ALEMBIC_FAULTS"):
            facts = {"engine": self.engine, "ended": self.ended, "kinds": self.kinds, "ways": self.ways}
            (Path(folder) / f"property-{self.engine}-{self.shard}.counts").write_text(json.dumps(facts))


def section(folder: Path) -> str:
    """The page's section about random examples, from what the tests counted."""
    found: list[dict[str, Any]] = [json.loads(path.read_text()) for path in sorted(folder.glob("*.counts"))]
    if not found:
        return ""
    text = "\n## Random schemas and random revisions\n"
    for engine in sorted({facts["engine"] for facts in found}):
        ended, kinds, ways = (
            sum((Counter(facts[key]) for facts in found if facts["engine"] == engine), Counter[str]())
            for key in ("ended", "kinds", "ways")
        )
        outcomes = ", ".join(f"{count} {word}" for word, count in sorted(ended.items()))
        text += f"\n**{engine}**: {sum(ended.values())} examples kept the promise: {outcomes}.\n\n"
        text += f"Objects that were changed: {_printed(kinds)}.\n\nStatements ran: {_printed(ways)}.\n"
        left_out = "; ".join(f"{kind}: {why}" for kind, why in NOT_YET[engine].items())
        text += f"\nLeft out: {left_out}.\n" if left_out else ""
    return text


def _printed(counter: Counter[str]) -> str:
    return ", ".join(f"{word} ({count})" for word, count in sorted(counter.items()))
