"""A host's folders below a test's own, with releases made from tests/fixtures and databases that are real files."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import INI, Layout, make_private_directory
from ansible_collections.hosting.alembic.plugins.module_utils._core.processes import Died, run_in_processes
from ansible_collections.hosting.alembic.plugins.module_utils._journal.events import Event, read_events
from ansible_collections.hosting.alembic.plugins.module_utils._release.install import PLAIN_INI
from ansible_collections.hosting.alembic.plugins.module_utils._verbs import dispatch

T = TypeVar("T")
Answer = dict[str, Any]

PROJECT = Path(__file__).parents[2]
FIXTURES = PROJECT / "tests" / "fixtures"
REVISION = '''"""{message}"""

from alembic import op
import sqlalchemy as sa

revision = "{revision}"
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''


def in_process(function: Callable[[], T]) -> T:
    """Call a function in a forked process, because env.py may do anything to its own; a refusal comes back raised."""
    answers: list[Any] = []

    def task(_item: None) -> tuple[str, Any]:
        try:
            with plain_streams():
                return "answer", function()
        except Refused as refusal:
            return "refused", refusal

    run_in_processes([None], 1, task, 60, lambda _item, answer: answers.append(answer))
    assert not isinstance(answers[0], Died), f"{answers[0]}; its traceback stands above"
    kind, answer = answers[0]
    if kind == "refused":
        raise answer
    return answer  # type: ignore[no-any-return]


@contextmanager
def plain_streams() -> Iterator[None]:
    """Give Python's streams back the descriptors that a worker redirects, in place of those that pytest reads."""
    with redirect_stdout(sys.__stdout__), redirect_stderr(sys.__stderr__):
        yield


def open_to_all(folder: Path) -> None:
    """Let every user come as far as a folder, which lies below one of pytest's that is closed."""
    for path in (folder, *folder.parents):
        if path != Path("/") and path.stat().st_uid == os.geteuid() and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o055)


def as_unprivileged(folder: Path, function: Callable[[], T]) -> T:
    """Call a function as a user whom permissions bind, who may come as far as a folder. In a forked process only."""
    open_to_all(folder)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    return function()


def sql(path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Execute one statement over SQLite's own driver and commit it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def script(path: Path, statements: str) -> Path:
    """Execute several statements, and return the file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(statements)
    return path


def names(folder: Path) -> list[str]:
    """Return what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def tables(path: Path) -> set[str]:
    """Return the names of a file's tables."""
    return {row[0] for row in sql(path, "select name from sqlite_master where type = 'table'")}


def heads(path: Path, table: str = "alembic_version") -> list[str]:
    """Return the revisions that a version table holds."""
    return sorted(row[0] for row in sql(path, f'select version_num from "{table}"'))


def database(path: Path, name: str = "app", **more: Any) -> Database:
    """Return the entry of a database file."""
    return Database.from_options({"name": name, "url": f"sqlite:///{path}", **more})


class Host:
    """One ``migrate_root``."""

    def __init__(self, root: Path) -> None:
        self.root = make_private_directory(root)
        self.layout = Layout(root)

    def ship(self, fixture: str, release: str = "") -> str:
        """Lay a fixture out as an installed release, run by the virtualenv that runs the tests."""
        folder = self.layout.release(release or fixture)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(FIXTURES / fixture, folder / "source", ignore=ignored)
        (folder / "source").chmod(0o700)  # as it is unpacked
        (folder / INI).write_text(PLAIN_INI)
        (folder / "release.json").write_text(json.dumps({"shipped": folder.name, "wheelhouse": ""}))
        (folder / "virtualenv").symlink_to(sys.prefix)
        current = self.layout.releases / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(folder.name)
        return folder.name

    def revise(self, release: str, revision: str, down: str, upgrade: str, downgrade: str = "pass") -> Path:
        """Add a revision to a release."""
        path = self.layout.release(release) / "source" / "migrations" / "versions" / f"{revision}.py"
        facts = {"revision": revision, "down": down, "upgrade": upgrade, "downgrade": downgrade}
        path.write_text(REVISION.format(message=f"revision {revision}", **facts))
        return path

    def job(self, verb: str, *databases: Database, **options: Any) -> Job:
        """Return a job of a run; ``release`` is the current one."""
        current = self.layout.releases / "current"
        release = current.resolve().name if current.is_symlink() else ""
        facts = {"root": str(self.root), "release": release, "run": "r1", "follow": 60, **options}
        job = Job.from_options(verb, facts)
        return Job(**{**job.__dict__, "databases": databases})

    def do(self, verb: str, *databases: Database, **options: Any) -> Answer:
        """Have a verb done as the virtualenv's process does it, with its worker and its processes."""
        with plain_streams():
            done: Answer = dispatch.do(self.job(verb, *databases, **options))
        return done

    def result(self, verb: str, one: Database, **options: Any) -> Answer:
        """Have a verb done to one database and return its result."""
        answer = self.do(verb, one, **options)
        assert answer["finished"]
        (result,) = answer["results"]
        return dict(result)

    def plan(self, one: Database, **options: Any) -> Answer:
        """Return the plan of one database."""
        (plan,) = self.do("plan", one, **options)["databases"]
        return dict(plan)

    def events(self, run: str = "r1", name: str = "app") -> list[Event]:
        """Return what the journal of a run says of a database."""
        return read_events(self.layout.locate_journal(name, run))


def unpack(archive: Path, into: Path) -> None:
    """By tar itself: the Python of Debian 12 knows no filters yet, newer ones warn where there is none."""
    into.mkdir()
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", into], check=True)
