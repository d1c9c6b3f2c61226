"""What pg_dump prints, made comparable."""

from __future__ import annotations

from collections.abc import Iterator

#: Lines that differ from one dump of the same content to the next one.
NOISE = ("--", "\\restrict", "\\unrestrict")


def in_order(dump: str, noise: tuple[str, ...] = NOISE) -> Iterator[str]:
    """Yield the lines that say something, rows sorted: a heap gives them in any order."""
    rows: list[str] | None = None
    for line in dump.splitlines():
        if rows is not None:
            if line != "\\.":
                rows.append(line)
                continue
            yield from sorted(rows)
            rows = None
        if line.startswith("COPY "):
            rows = []
        if line and line != "--" and not line.startswith(noise):
            yield line
