"""Releases that are wrong: revisions, their ways back, env.py, and the history itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from tests.faults.digest import digest
from tests.faults.fault import BOTH, POSTGRESQL, SQLITE, fault
from tests.faults.scene import DROP_PART, FILL_PART, PART, Scene

_AUTOCOMMIT = "with op.get_context().autocommit_block():\n    {}"
_HALF = "op.execute('CREATE TABLE half (id int)')"


def _bad(
    words: str, *lines: str, ends: str = "old", engines: tuple[str, ...] = BOTH, downgrade: str | None = DROP_PART
) -> None:
    """A revision 0003 of these lines that fails; the corrected release has the good one."""

    @fault(words, ends=ends, engines=engines)
    def inject(scene: Scene) -> Iterator[None]:
        scene.release("\n".join(scene.raise_here() if line == "RAISE" else line for line in lines), downgrade)
        scene.fails()
        scene.release()
        yield


def _way_back(words: str, downgrade: str | None) -> None:
    """A revision 0003 that is good but for its downgrade, before one that fails."""

    @fault(words, ends="old held")
    def inject(scene: Scene) -> Iterator[None]:
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
    _AUTOCOMMIT.format(_HALF), "RAISE", ends="old held", engines=POSTGRESQL,
)  # fmt: skip
_bad(
    "a revision raises after an autocommit block that deleted rows",
    _AUTOCOMMIT.format("op.execute('DELETE FROM item')"), "RAISE", ends="old held", engines=POSTGRESQL,
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
_bad("a revision commits by itself, then raises", PART, "op.get_bind().commit()", "RAISE", ends="old held")
_bad(
    "a failed concurrent build leaves an INVALID index behind",
    "op.execute(\"INSERT INTO item (id, name) VALUES (9, 'item 1')\")",
    _AUTOCOMMIT.format("op.create_index('once', 'item', ['name'], unique=True, postgresql_concurrently=True)"),
    ends="old held",
    engines=POSTGRESQL,
)  # fmt: skip
_way_back("a missing downgrade", None)
_way_back("a downgrade that fails", "raise RuntimeError('this downgrade fails')")
_way_back("a downgrade that fails after it dropped its table", f"{DROP_PART}\nraise RuntimeError('fails')")
_way_back("a downgrade that does nothing", "pass")
_way_back("a downgrade that deletes the customers' rows", f"{DROP_PART}\nop.execute('DELETE FROM item')")


@fault("a batch whose rebuild deletes child rows by cascade, before a revision that fails", ends="old", engines=SQLITE)
def cascade(scene: Scene) -> Iterator[None]:
    scene.target.rows("CREATE TABLE child (id INTEGER, item INTEGER REFERENCES item (id) ON DELETE CASCADE)")
    scene.target.rows("INSERT INTO child SELECT id, id FROM item")
    scene.old = digest(scene.target)
    scene.source.env.write_text(
        scene.source.env.read_text().replace(
            "context.configure(\n            connection",
            "connection.exec_driver_sql('PRAGMA foreign_keys=ON')\n        connection.commit()\n"
            "        context.configure(\n            connection",
        )
    )
    rebuilt = (
        "with op.batch_alter_table('item', recreate='always') as item:\n    item.alter_column('name', nullable=True)"
    )
    scene.release(f"{rebuilt}\n{scene.raise_here()}", rebuilt)
    scene.fails()
    scene.target.rows("DROP TABLE child")
    scene.old = digest(scene.target)
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


def _env(words: str, old: str, new: str) -> None:
    @fault(words, ends="old")
    def inject(scene: Scene) -> Iterator[None]:
        text = scene.source.env.read_text()
        scene.source.replace(old, new)
        scene.fails(migrate_plan_timeout=5)
        scene.source.env.write_text(text)
        yield


_RUN = "with connectable.connect() as connection:"
_env("an env.py that raises", _RUN, f"raise RuntimeError('fails on purpose')\n    {_RUN}")
_env("an env.py that exits", _RUN, f"import sys; sys.exit(0)\n    {_RUN}")
_env("an env.py that hangs", _RUN, f"import time; time.sleep(600)\n    {_RUN}")
_env(
    "an env.py that connects elsewhere",
    _RUN,
    f"from sqlalchemy import create_engine\n    connectable = create_engine('sqlite://')\n    {_RUN}",
)


@fault("a release that was tampered with on the host", ends="old new")
def tampered(scene: Scene) -> Iterator[None]:
    scene.play("ship").ended(0)
    for path in (scene.site.root / "releases").rglob("0003.py"):
        path.chmod(0o600)
        path.write_text(path.read_text() + "\nraise RuntimeError('tampered')\n")
    scene.play("migrate")
    yield
    # What was changed is not put right on the host by a run of its own accord: a person removes it.
    if scene.state() == "old":
        shutil.rmtree(scene.site.root / "releases")
