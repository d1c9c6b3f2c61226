"""Releases that are wrong: revisions, their revert, env.py, and the history itself."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from tests.faults import mariadb
from tests.faults.digest import digest
from tests.faults.fault import ALL, POSTGRESQL, SERVERS, SQLITE, fault
from tests.faults.scene import DROP_PART, FILL_PART, PART, Scene
from tests.integration.targets import MariaDBTarget

_AUTOCOMMIT = "with op.get_context().autocommit_block():\n    {}"
_CHANGE = "op.execute(\"UPDATE item SET name = 'changed'\")"
_HALF = "op.execute('CREATE TABLE half (id int)')"


def _bad(
    words: str,
    *lines: str,
    ends: str | dict[str, str] = "old",
    engines: tuple[str, ...] = ALL,
    downgrade: str | None = DROP_PART,
) -> None:
    """A revision 0003 of these lines that fails; the corrected release has the good one."""

    @fault(words, ends=ends, engines=engines)
    def inject(scene: Scene) -> Iterator[None]:
        scene.release("\n".join(scene.raise_here() if line == "RAISE" else line for line in lines), downgrade)
        scene.fails()
        scene.release()
        yield


def _downgrade_fault(words: str, downgrade: str | None, ends: str | dict[str, str] = "old") -> None:
    """A revision 0003 that is good but for its downgrade, before one that fails."""

    @fault(f"{words}, before a revision that fails", ends=ends)
    def inject(scene: Scene) -> Iterator[None]:
        scene.each_in_its_own_transaction()
        scene.release(downgrade=downgrade)
        scene.source.add("0004", "0003", scene.raise_here())
        scene.fails()
        scene.release()
        yield


_bad("a revision raises at its start", "RAISE", PART)
_bad("a revision raises in its middle", PART, FILL_PART, "RAISE")
_bad("a revision deletes rows, then raises", "op.execute('DELETE FROM item')", "RAISE")
_bad(
    "a revision raises after an autocommit block",
    _AUTOCOMMIT.format(_HALF), "RAISE", engines=SERVERS,
)  # fmt: skip
_bad(
    "a revision raises after an autocommit block that deleted rows",
    _AUTOCOMMIT.format("op.execute('DELETE FROM item')"), "RAISE",
    # A server that others leave alone counts no more writes than the run's own.
    ends={"postgresql": "held", "mariadb": "old"},
)  # fmt: skip
_bad(
    "a revision raises inside a batch",
    "with op.batch_alter_table('item') as item:",
    "    item.alter_column('name', type_=sa.String(70))",
    "    raise RuntimeError('fails on purpose')",
)
_bad(
    "a revision leaves _alembic_tmp_item behind",
    "op.execute('CREATE TABLE _alembic_tmp_item AS SELECT * FROM item')", "RAISE",
)  # fmt: skip
_bad("a revision exits", PART, "sys.exit(0)")
_bad("a revision ends its process", PART, "os._exit(0)")
_bad("a revision commits by itself, then raises", PART, "op.get_bind().commit()", "RAISE")
_bad("a revision changes rows and commits by itself, then raises", _CHANGE, "op.get_bind().commit()", "RAISE")
_bad(
    "a revision changes rows, then raises after an autocommit block",
    _CHANGE, _AUTOCOMMIT.format("pass"), "RAISE", engines=SERVERS,
)  # fmt: skip
_bad(
    "a failed concurrent build leaves an INVALID index behind",
    "op.execute(\"INSERT INTO item (id, name) VALUES (9, 'item 1')\")",
    _AUTOCOMMIT.format("op.create_index('once', 'item', ['name'], unique=True, postgresql_concurrently=True)"),
    engines=POSTGRESQL,
)  # fmt: skip
_downgrade_fault("a missing downgrade", None)
_downgrade_fault("a downgrade that fails", "raise RuntimeError('this downgrade fails')")
_downgrade_fault("a downgrade that fails after it dropped its table", f"{DROP_PART}\nraise RuntimeError('fails')")
_downgrade_fault("a downgrade that does nothing", "pass")
_downgrade_fault(
    "a downgrade that deletes the customers' rows",
    f"{DROP_PART}\nop.execute('DELETE FROM item')",
    # It is known on both engines that no other user has written.
    {"postgresql": "old", "sqlite": "old", "mariadb": "old"},
)


@fault(
    "others write into a table that the run has made, while a later revision fails",
    # Rows of SQLite and MariaDB do not say whose they are: they are backed up before they are dropped.
    {"postgresql": "held", "sqlite": "old", "mariadb": "old"},
)
def written_into(scene: Scene) -> Iterator[None]:
    scene.each_in_its_own_transaction()
    scene.source.add("0004", "0003", f"{scene.stop_here()}\nraise RuntimeError('fails on purpose')")
    with scene.started("revision 0004") as running:
        scene.target.rows("INSERT INTO part (id, name) VALUES (99, 'theirs')")
        scene.gate.touch()
        scene.end(running)
    if scene.state() == "held":
        kept = scene.target.rows("SELECT name FROM part WHERE id = 99")
    elif isinstance(scene.target, MariaDBTarget):
        (path,) = scene.site.root.glob("backups/*/*-downgraded/dump.sql")
        with mariadb.loaded(scene.target, path) as name:
            found = scene.target.database.server.execute("SELECT name FROM part WHERE id = 99", name)
        kept = [tuple(row) for row in found]
    else:
        (path,) = scene.site.root.glob("backups/*/*-downgraded/*.sqlite3")
        with closing(sqlite3.connect(path)) as backup:
            kept = backup.execute("SELECT name FROM part WHERE id = 99").fetchall()
    assert kept == [("theirs",)]
    scene.release()
    yield


@fault("a batch in the downgrade deletes child rows by cascade", ends="old", engines=SQLITE)
def cascade(scene: Scene) -> Iterator[None]:
    clean, text = scene.old, scene.source.env.read_text()
    scene.target.rows("CREATE TABLE child (id INTEGER, item INTEGER REFERENCES item (id) ON DELETE CASCADE)")
    scene.target.rows("INSERT INTO child SELECT id, id FROM item")
    scene.old = digest(scene.target)
    scene.source.replace(
        "context.configure(\n            connection",
        "connection.exec_driver_sql('PRAGMA foreign_keys=ON')\n        connection.commit()\n"
        "        context.configure(\n            connection",
    )
    # The second revision's downgrade rebuilds the table that the child points to.
    scene.release(scene.raise_here())
    scene.fails()
    # Only the run has written to the file, so the backup is restored.
    assert scene.state() == "old"
    scene.ended = "old"
    scene.source.env.write_text(text)
    scene.target.rows("DROP TABLE child")
    scene.old = clean
    scene.release()
    yield


@fault("branches and a merge, with a failure between them", ends="old")
def branches(scene: Scene) -> Iterator[None]:
    (scene.source.versions / "0004.py").unlink()
    scene.release()
    (scene.source.versions / "0004.py").unlink()
    table = "op.create_table('{0}', sa.Column('id', sa.Integer()))"
    scene.source.add("a003", "0002", table.format("branch"), "op.drop_table('branch')")
    scene.source.add("b003", "0002", f"{table.format('other')}\n{scene.raise_here()}", "op.drop_table('other')")
    merge = scene.source.versions / "m004.py"
    merge.write_text('"""merge"""\nrevision = "m004"\ndown_revision = ("0003", "a003", "b003")\n\n\n'
                     "def upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n")  # fmt: skip
    scene.fails()
    scene.source.add("b003", "0002", table.format("other"), "op.drop_table('other')")
    yield


@fault("two heads", ends="old")
def two_heads(scene: Scene) -> Iterator[None]:
    scene.source.add("x003", "0002")
    scene.fails()
    (scene.source.versions / "x003.py").unlink()
    yield


@fault("a revision file that is missing", ends="old")
def missing(scene: Scene) -> Iterator[None]:
    path = scene.source.versions / "0003.py"
    text = path.read_text()
    path.unlink()
    scene.fails()
    path.write_text(text)
    yield


@fault("a file that was edited after it was applied, where that is refused", ends="old")
def edited(scene: Scene) -> Iterator[None]:
    scene.play("migrate", migrate_target="0002").ended(0)
    scene.old, scene.at = digest(scene.target), "0002"
    (path,) = scene.source.versions.glob("0002*.py")
    text = path.read_text()
    path.write_text(f"{text}\n# edited\n")
    scene.fails(migrate_on_changed_history="refuse")
    path.write_text(text)
    yield


@fault("_alembic_tmp_item lies there before a batch", ends="old", engines=SQLITE)
def leftover(scene: Scene) -> Iterator[None]:
    before = scene.old
    scene.target.rows("CREATE TABLE _alembic_tmp_item AS SELECT * FROM item")
    scene.old = digest(scene.target)
    scene.fails()
    assert scene.state() == "old"
    scene.target.rows("DROP TABLE _alembic_tmp_item")
    scene.old = before
    yield


def _env(words: str, old: str, new: str, *, ends: str = "old", upgrade: str = "") -> None:
    @fault(f"an env.py that {words}", ends=ends)
    def inject(scene: Scene) -> Iterator[None]:
        text = scene.source.env.read_text()
        scene.source.replace(old, new.format(folder=scene.folder))
        scene.release(scene.raise_here() if upgrade else "")
        scene.play("migrate", migrate_plan_timeout=5).ended(0 if ends == "new" else 2)
        scene.source.env.write_text(text)
        scene.release()
        yield


_RUN = "with connectable.connect() as connection:"
_BEGIN = "with context.begin_transaction():\n            context.run_migrations()\n\n\nif"
_TWICE = """for other in (connectable, __import__("sqlalchemy").create_engine("sqlite:///{folder}/other.db")):
     with other.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
    return
    with connectable.connect() as connection:"""
_ONLINE = "\n    run_migrations_online()"
_env("raises", _RUN, f"raise RuntimeError('fails on purpose')\n    {_RUN}")
_env("exits", _RUN, f"import sys; sys.exit(0)\n    {_RUN}")
_env("exits after it has migrated", _ONLINE, f"{_ONLINE}\n    raise SystemExit(0)", ends="new")
_env("hangs", _RUN, f"import time; time.sleep(600)\n    {_RUN}")
_env(
    "connects elsewhere",
    _RUN,
    f"from sqlalchemy import create_engine\n    connectable = create_engine('sqlite://')\n    {_RUN}",
)
_env("migrates a second database too", _RUN, _TWICE)
_env("prints to stdout", _RUN, f"print('x' * 70000 + chr(10) + '{{{{}}}}')\n    {_RUN}", ends="new")
_env(
    "swallows the exception of a revision",
    _ONLINE,
    "\n    try:\n        run_migrations_online()\n    except Exception:\n        pass",
    upgrade="RAISE",
)


@fault("an env.py that hangs in the upgrade itself, until the window closes", ends="old")
def hangs_in_upgrade(scene: Scene) -> Iterator[None]:
    text, hung = scene.source.env.read_text(), scene.folder / "hung"
    run = "            context.run_migrations()\n"
    wait = f"            if os.path.exists({str(scene.reached)!r}) and not os.path.exists({str(hung)!r}):\n"
    wait += f"                open({str(hung)!r}, 'w').close()\n                time.sleep(600)\n"
    scene.source.replace(f"{run}\n\nif", f"{run}{wait}\n\nif")
    scene.source.env.write_text(f"import os\nimport time\n{scene.source.env.read_text()}")
    scene.release(f"{PART}\n{FILL_PART}\nopen({str(scene.reached)!r}, 'w').close()")
    scene.environment = {"HOSTING_ALEMBIC_NOW": "2026-07-15T01:59:20+00:00"}
    night = [{"start": "20:00", "end": "02:00", "timezone": "UTC"}]
    assert "was cancelled" in scene.fails(migrate_windows=night, migrate_window_margin=1).output
    assert hung.exists()
    scene.environment = {}
    scene.source.env.write_text(text)
    scene.release()
    yield


@fault("a release that was tampered with on the host", ends="old")
def tampered(scene: Scene) -> Iterator[None]:
    scene.play("ship").ended(0)
    for path in (scene.site.root / "releases").rglob("0003.py"):
        path.chmod(0o600)
        path.write_text(path.read_text() + "\nraise RuntimeError('tampered')\n")
    scene.fails()
    yield
    # What was changed is not put right on the host by a run of its own accord: a person removes it.
    shutil.rmtree(scene.site.root / "releases")
