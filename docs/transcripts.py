"""Runs the commands of the pages below in a copy of this project, and writes down what they print.

    python docs/transcripts.py            # write the outputs into the pages
    python docs/transcripts.py --check    # say which outputs are not what the commands print

A block of the kind ``console`` holds commands behind ``$`` and their output. A comment before it, ``<!-- exit 2 -->``,
says which exit code they have. A block below a line that ends with "into `FILE`:" is written into that file first. Of
what Ansible prints, the tasks that only say ok, changed or skipping are left out.

README.md shows excerpts: a block below ``<!-- last task of block 1 of docs/PAGE -->`` is what such a block prints last.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
DOCS = PROJECT / "docs"
#: In this order: each begins where the one before has left the database.
PAGES = [
    "tutorial/first_database.md",
    "tutorial/break_and_recover.md",
    "playbooks/status.md",
    "playbooks/backup.md",
    "playbooks/backups.md",
    "playbooks/rollback.md",
    "playbooks/plan.md",
    "playbooks/rehearse.md",
    "playbooks/migrate.md",
    "playbooks/restore.md",
    "playbooks/prune.md",
]
LEFT_OUT = (".git", ".venv*", ".hosting-alembic", ".*_cache", ".ansible", "*.tar.gz", "tests", "molecule")
# `make migrate` makes .venv first, which the copy has.
REPLACED = {"make migrate": "ansible-playbook migrate.yml"}

_BLOCK = re.compile(r"(?ms)^```(?P<kind>\w+)\n(?P<text>.*?)^```$")
_EXCERPT = re.compile(r"(?ms)(<!-- last task of block (\d+) of (docs/\S+) -->\n```text\n)(.*?)(^```$)")
_EXIT = re.compile(r"<!-- exit (\d+) -->\s*\Z")
_FILE = re.compile(r"into `([^`]+)`:\s*\Z")
_HEADER = re.compile(r"(PLAY|TASK|RUNNING HANDLER) \[|PLAY RECAP")
# A line that begins at the margin behind an empty one.
_SECTION = re.compile(r"\n\n(?=\S)")
# Lines of progress depend on how long a step takes.
_NOISE = re.compile(r"(ok|changed|skipping|included): |skipping: no hosts matched|  \S+ \| \w+: |\Z")
_RUN = re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{6}\b")
# What differs from run to run: times, sizes, ids, ages.
_VARIES = re.compile(r"\b[0-9a-f]{64}\b|\d+(\.\d+)?( (s|ms|B|kB|MB|days?|hours?|minutes?|seconds?))?|[*─-]{3,}|\s+")


@dataclass
class Block:
    """One block of a page that is run, with its line."""

    start: int
    end: int
    text: str
    exit: int

    @property
    def commands(self) -> list[str]:
        """Return the commands, continued lines as one."""
        return [line[2:] for line in self.text.replace("\\\n", "").splitlines() if line.startswith("$ ")]


def read_blocks(page: str) -> Iterator[Block | tuple[str, str]]:
    """Yield what a page has to be run, in its order; a file to be written as its name and its text."""
    for found in _BLOCK.finditer(page):
        before = page[: found.start()]
        file = _FILE.search(before)
        if found["kind"] == "console":
            code = _EXIT.search(before)
            yield Block(found.start("text"), found.end("text"), found["text"], int(code[1]) if code else 0)
        elif file:
            yield file[1], found["text"]


class Copy:
    """A copy of the project, in which the commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(PROJECT, folder, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        self._names: dict[str, str] = {}

    def run(self, block: Block) -> str:
        """Return the block with what its commands print now."""
        lines = []
        for command in block.commands:
            environment = {
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "COLUMNS": "120",
            }
            environment.pop("ANSIBLE_CONFIG", None)
            words = ["bash", "-c", REPLACED.get(command, self._real(command))]
            done = subprocess.run(
                words, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
            )
            output = done.stdout.decode()
            if done.returncode != block.exit:
                sys.exit(f"{command}: exit code {done.returncode}, not {block.exit}\n{output}")
            lines += [f"$ {command}", *shorten(output)]
        return self._anonymous("\n".join(lines) + "\n")

    def _real(self, command: str) -> str:
        """Return a command with the ids of the runs of this copy."""
        for real, shown in self._names.items():
            command = command.replace(shown, real)
        return command

    def _anonymous(self, text: str) -> str:
        """Return a text without the place of the copy, and with ids that are the same each time."""
        for found in _RUN.finditer(text):
            if found[0] not in self._names.values():
                number = len(self._names) + 1
                self._names.setdefault(found[0], f"20261123T03{number:02}00Z-5f3a{number:02}")
        for real, shown in self._names.items():
            text = text.replace(real, shown)
        return shorten_paths(text, str(self.folder), "…")


def shorten_paths(text: str, path: str, shown: str) -> str:
    """Return a text with another name of a path; the tables in it keep their columns below each other."""
    lines = text.splitlines(keepends=True)
    rows: list[int] = []  # of one table: its head, and the lines below it that have its columns
    columns: list[int] = []
    for number, line in enumerate([*lines, ""]):
        is_row = bool(columns and line.strip()) and not any(line[at - 2 : at].strip() for at in columns[1:])
        if is_row:
            rows.append(number)
            continue
        if any(path in lines[row] for row in rows):
            for row, new in zip(rows, _aligned([_cells(lines[row], columns) for row in rows], path, shown)):
                lines[row] = new
        is_head = bool(re.match(r" *[A-Z]+( [A-Z]+)*( {2,}[A-Z]+( [A-Z]+)*)+$", line))
        columns = [found.start() for found in re.finditer(r"\S+( \S+)*", line)] if is_head else []
        rows = [number] if is_head else []
    return "".join(lines).replace(path, shown)


def _cells(line: str, columns: list[int]) -> list[str]:
    return [line[: columns[0]], *(line[at:end].strip() for at, end in zip(columns, [*columns[1:], None]))]


def _aligned(table: list[list[str]], path: str, shown: str) -> list[str]:
    table = [[cell.replace(path, shown) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*table)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths)] for row in table)
    return [f"{margin}{'  '.join(cells).rstrip()}\n" for margin, *cells in padded]


def shorten(output: str) -> list[str]:
    """Return what a person reads: the sections of Ansible's output that say more than ok, changed or skipping."""
    sections: list[list[str]] = [[]]
    for before, line in itertools.pairwise(["", *output.splitlines()]):
        is_header = _HEADER.match(line)
        # Where tasks that were ok print no header, a report follows an empty line.
        if is_header or (not before and line[:1].strip() and not _NOISE.match(line)):
            sections.append([re.sub(r" \*+$", "", line)] if is_header else [line.rstrip()])
        else:
            sections[-1].append(line.rstrip())
    kept: list[str] = []
    for header, *body in filter(None, sections):
        if header.startswith("PLAY RECAP"):
            continue
        # Below its own error Ansible repeats it, with the place in the role.
        whole = list(itertools.takewhile(lambda line: not line.startswith("Origin: "), body))
        lines = [line for line in whole if not _NOISE.match(line)]
        if lines or not _HEADER.match(header):
            kept += ["", header, *lines] if kept else [header, *lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept).strip("\n")).splitlines()


def last_output(text: str) -> str:
    """Return what was printed last in a block: the lines of a task, or those behind it, without a header."""
    lines = _SECTION.split(text.strip("\n"))[-1].splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("$ ") and not _HEADER.match(line))


def render_readme() -> str:
    """Return README.md with its excerpts as they are in the pages."""

    def excerpt(found: re.Match[str]) -> str:
        page = (PROJECT / found[3]).read_text(encoding="utf-8")
        blocks = [block for block in read_blocks(page) if isinstance(block, Block)]
        return found[1] + last_output(blocks[int(found[2]) - 1].text) + found[5]

    return _EXCERPT.sub(excerpt, (PROJECT / "README.md").read_text(encoding="utf-8"))


def main() -> int:
    """Run all pages; write what they print, or say what differs."""
    check = "--check" in sys.argv[1:]
    stale = []
    with tempfile.TemporaryDirectory() as place:
        copy = Copy(Path(place).resolve() / "hosting.alembic")
        for name in PAGES:
            page = (DOCS / name).read_text(encoding="utf-8")
            new, at = "", 0
            for block in read_blocks(page):
                if isinstance(block, tuple):
                    (copy.folder / block[0]).write_text(block[1], encoding="utf-8")
                    continue
                shown = copy.run(block)
                if _VARIES.sub("#", shown) != _VARIES.sub("#", block.text):
                    stale.append(f"{name}: {block.commands[0]}")
                    new += page[at : block.start] + shown
                    at = block.end
            if at and not check:
                (DOCS / name).write_text(new + page[at:], encoding="utf-8")
            print(f"{name} {'differs' if at else 'holds'}", flush=True)
    if not check:
        (PROJECT / "README.md").write_text(render_readme(), encoding="utf-8")
    for line in stale:
        print(f"{'differs' if check else 'written'}: {line}")
    return int(bool(stale) and check)


if __name__ == "__main__":
    sys.exit(main())
