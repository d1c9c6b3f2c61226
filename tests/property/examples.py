"""What one example is: a database, a history of revisions that change it, and where that fails."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.property import postgresql_more, postgresql_objects, postgresql_tables, sqlite_kinds
from tests.property.kinds import Change, Kind, Statements, named

#: The kinds that are left out because the promise is broken there and it is not repaired yet, each with the reason.
NOT_YET: dict[str, dict[str, str]] = {
    "postgresql": {
        "subscription": "no restore makes or drops one: it names those that it leaves, and those that are gone",
    },
    "sqlite": {},
}

KINDS: dict[str, tuple[Kind, ...]] = {
    "postgresql": postgresql_tables.KINDS + postgresql_objects.KINDS + postgresql_more.KINDS,
    "sqlite": sqlite_kinds.KINDS,
}
#: How a revision runs its statements.
PLAIN = "as any revision"
WAYS: dict[str, tuple[str, ...]] = {
    "postgresql": (
        PLAIN,
        "in an autocommit block",
        "with a COMMIT behind it in one string",
        "with a COMMIT behind a comment",
        "and the driver's own commit",
        "over a second connection",
        "over a second engine in AUTOCOMMIT",
    ),
    "sqlite": (PLAIN, "with a COMMIT behind a comment", "and the driver's own commit", "over a second connection"),
}
#: What a downgrade does that is written as it should not be.
_BACKWARD = ("exact", "exact", "exact", "nothing", "raises", "raises in its middle")


@dataclass(frozen=True)
class Step:
    """Statements of a revision, and how it runs them."""

    words: str
    statements: Statements
    way: str = PLAIN


@dataclass(frozen=True)
class Revision:
    """One revision; a downgrade that is None is missing."""

    forward: tuple[Step, ...]
    backward: tuple[Step, ...]
    #: Before which of the steps it raises; None for never.
    fails_before: int | None = None
    downgrade: str = "exact"


@dataclass(frozen=True)
class Example:
    """What is tried. It prints as what a person would need to try it again."""

    engine: str
    setup: Statements
    revisions: tuple[Revision, ...]
    per_migration: bool = False
    options: dict[str, object] = field(default_factory=dict)
    #: The owner may create databases, so that a restore is a swap.
    may_create: bool = False
    #: The owner is a superuser, as what is in the database needs.
    superuser: bool = False
    journal_mode: str = "delete"
    kinds: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        return any(revision.fails_before is not None for revision in self.revisions)

    def __str__(self) -> str:
        about = {"per migration": self.per_migration, "options": self.options, "may create": self.may_create}
        about |= {"superuser": True} if self.superuser else {}
        if self.engine == "sqlite":
            about["journal mode"] = self.journal_mode
        lines = [f"{self.engine}: {about}", *(f"  {statement}" for statement in self.setup)]
        for number, revision in enumerate(self.revisions, 2):
            lines.append(f"revision {number:04}, downgrade: {revision.downgrade}")
            for place, step in enumerate(revision.forward):
                lines += ["  RAISES HERE"] if place == revision.fails_before else []
                lines.append(f"  {step.words}, {step.way}")
                lines += [f"    + {statement}" for statement in step.statements]
            lines += ["  RAISES HERE"] if revision.fails_before == len(revision.forward) else []
            lines += [f"    - {statement}" for step in revision.backward for statement in step.statements]
        return "\n".join(lines)


@st.composite
def examples(draw: st.DrawFn, engine: str) -> Example:
    """Any example of an engine; the simplest is one table of one kind, and one revision that does not fail."""
    known = [kind for kind in KINDS[engine] if kind.name not in NOT_YET[engine]]
    chosen = draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique_by=lambda kind: kind.name))
    objects = [(f"k{number}", kind) for number, kind in enumerate(chosen, 1)]
    # Each object is changed once in a history: two changes of one need not fit.
    pairs: list[tuple[str, str, Change]] = []
    setup: list[str] = []
    for name, kind in objects:
        changes = [kind.addition(), *kind.all_changes()]
        picked = draw(st.sampled_from(changes))
        if picked is not changes[0]:
            setup += named(kind.make, name)
        pairs.append((name, kind.name, picked))
    bystander = draw(st.sampled_from([None, *known]))
    if bystander and bystander.name not in {kind.name for kind in chosen}:
        setup += named(bystander.make, "bystander")
    count = draw(st.integers(1, len(pairs)))
    revisions = [_revision(draw, engine, pairs[number::count]) for number in range(count)]
    failing = draw(st.sampled_from([*range(count - 1, -1, -1), count - 1, count - 1, None]))
    if failing is not None:
        revision = revisions[failing]
        place = draw(st.integers(0, len(revision.forward)).map(lambda place: len(revision.forward) - place))
        revisions[failing] = Revision(revision.forward, revision.backward, place, revision.downgrade)
    return Example(
        engine,
        tuple(setup),
        tuple(revisions),
        per_migration=draw(st.booleans()),
        options=draw(_OPTIONS),
        may_create=engine == "postgresql" and draw(st.booleans()),
        superuser=any(each.superuser for each in (*chosen, *([bystander] if bystander else []))),
        journal_mode=draw(st.sampled_from(["delete", "wal"])) if engine == "sqlite" else "",
        kinds=tuple(sorted({kind for _name, kind, _change in pairs})),
    )


_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "on_failure": st.sampled_from(["auto", "restore", "downgrade", "hold"]),
        "row_counts_limit": st.just(0),
    },
)


def _revision(draw: st.DrawFn, engine: str, pairs: list[tuple[str, str, Change]]) -> Revision:
    forward, backward = [], []
    for name, kind, change in pairs:
        way = "in an autocommit block" if change.single else draw(st.sampled_from(WAYS[engine]))
        forward.append(Step(f"{kind} {name} {change.words}", named(change.forward, name), way))
        back = draw(st.sampled_from((PLAIN, PLAIN, PLAIN, *WAYS[engine])))
        backward.append(Step(f"{kind} {name}", named(change.backward, name), back))
    return Revision(tuple(forward), tuple(reversed(backward)), None, draw(st.sampled_from(_BACKWARD)))


# As text that Alembic runs

_HEAD = '''"""{number}"""

import sqlalchemy as sa
from alembic import op

revision = "{number:04}"
down_revision = "{down:04}"
branch_labels = None
depends_on = None


def plain(*statements):
    for statement in statements:
        op.execute(sa.text(statement))


def autocommit(*statements):
    with op.get_context().autocommit_block():
        plain(*statements)


def driver():
    return op.get_bind().connection.dbapi_connection


def commit_in_text(*statements):
    driver().cursor().execute("; ".join([*statements, "COMMIT"]))


def commit_behind_comment(*statements):
    plain(*statements)
    op.execute("/* not a transaction */ COMMIT -- really")


def driver_commits(*statements):
    plain(*statements)
    driver().commit()


def second_connection(*statements):
    engine = sa.create_engine(op.get_bind().engine.url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def second_autocommit(*statements):
    engine = sa.create_engine(op.get_bind().engine.url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))

'''
_CALLS = {
    PLAIN: "plain",
    "in an autocommit block": "autocommit",
    "with a COMMIT behind it in one string": "commit_in_text",
    "with a COMMIT behind a comment": "commit_behind_comment",
    "and the driver's own commit": "driver_commits",
    "over a second connection": "second_connection",
    "over a second engine in AUTOCOMMIT": "second_autocommit",
}
_RAISE = "    raise RuntimeError('fails on purpose')\n"


def text_of(number: int, revision: Revision, *, fails: bool = True) -> str:
    """A revision as a file; the second one of a database that is at 0001 is number 2."""
    up = [_call(step) for step in revision.forward]
    if fails and revision.fails_before is not None:
        up.insert(revision.fails_before, _RAISE)
    down = [_call(step) for step in revision.backward]
    if revision.downgrade == "nothing":
        down = []
    elif revision.downgrade == "raises":
        down = [_RAISE]
    elif revision.downgrade == "raises in its middle":
        down.append(_RAISE)
    text = _HEAD.replace("{number:04}", f"{number:04}").replace("{down:04}", f"{number - 1:04}")
    text = text.replace("{number}", f"revision {number}")
    return f"{text}\ndef upgrade():\n{''.join(up) or _PASS}\n\ndef downgrade():\n{''.join(down) or _PASS}"


_PASS = "    pass\n"
_BIND = re.compile(r"(?<![:\w\\]):(?=\w)")


def _call(step: Step) -> str:
    if not step.statements:
        return ""
    # What SQLAlchemy would take for a parameter is not one.
    texts = step.statements
    if step.way != "with a COMMIT behind it in one string":
        texts = tuple(_BIND.sub(r"\\:", statement) for statement in texts)
    return f"    {_CALLS[step.way]}({', '.join(map(repr, texts))})\n"


def counted(found: Counter[str]) -> str:
    """Say how often each kind came up."""
    return ", ".join(f"{kind} ({count})" for kind, count in sorted(found.items()))
