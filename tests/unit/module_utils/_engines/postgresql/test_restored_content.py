"""The text of a dump, read in pieces."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import IO

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql import restored_content
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.client_tools import find_tools
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.psql import Contents
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import engine_for
from tests.lab.fixtures import Database as Postgres

SCRIPT = rb"""SET row_security = off;
-- a comment
COPY public.item (id, name) FROM stdin;
1	one
2	\\.
3	\.x
\.


COPY public.empty (id) FROM stdin;
\.

SELECT pg_catalog.setval('public.item_id_seq', 3, true);
"""


def read(script: bytes) -> dict[bytes, bytes]:
    stream: IO[bytes] = BytesIO(script)
    return restored_content.texts_of(stream)


@pytest.mark.parametrize("piece", range(1, 40))
def test_each_table_is_found_however_the_text_is_cut(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    whole = read(SCRIPT)
    monkeypatch.setattr(restored_content, "_PIECE", piece)

    assert read(SCRIPT) == whole
    assert [key.decode().partition(" (")[0] for key in whole] == ["COPY public.item", "COPY public.empty", ""]


@pytest.mark.parametrize(
    ("old", "new"), [(b"one", b"two"), (b"3, true", b"4, true"), (b"2\t", b"22\t"), (b"1\tone\n", b"")]
)
def test_what_differs_is_seen(old: bytes, new: bytes) -> None:
    assert read(SCRIPT.replace(old, new)) != read(SCRIPT)


def test_a_text_that_ends_early_is_not_a_dump() -> None:
    with pytest.raises(Failed):
        read(SCRIPT[:90])


FILLED = """
create table item (id serial primary key, name text, size float8, data bytea);
insert into item (name, size, data) select 'a ' || i || E'\\t\\n\\\\.', i / 3.0, 'x' from generate_series(1, 2000) i;
create table part (id integer) partition by range (id);
create table part_1 partition of part for values from (0) to (9);
insert into part values (1), (2);
select lo_from_bytea(7, repeat('large', 9999)::bytea);
"""


@pytest.mark.parametrize(
    ("change", "printed"),
    [
        ("select 1", ""),
        ("update item set name = name where id < 9; cluster item using item_pkey", ""),
        ("update item set id = id where id = 1", ""),  # the same rows in another order
        ("update item set size = size + 1e-12 where id = 1999", "rows of table public.item differ"),
        ("delete from item where id = 7", "2000 rows in the backup, 1999 restored"),
        ("insert into part values (1)", "rows of table public.part_1 differ"),
        ("select lo_put(7, 3, 'X')", "large object 7 differs"),
        ("select setval('item_id_seq', 9)", "sequence public.item_id_seq differs"),
    ],
)
def test_a_database_is_compared_with_its_archive(
    postgres_database: Postgres, tmp_path: Path, change: str, printed: str
) -> None:
    postgres_database.execute(FILLED)
    server = postgres_database.server
    engine = engine_for(Database("app", server.url(postgres_database.name)), Job("backup", str(tmp_path), run="r1"))
    archive = engine.dump(tmp_path, False, _silent).path
    engine.close()
    found = find_tools("")
    assert found is not None
    postgres_database.execute(change)

    content = restored_content.RestoredContent(found, archive, engine.url, "test", _silent)
    contents = Contents.of(found, archive, _silent)
    if not printed:
        content.refuse_differences(contents, tmp_path, "app")
        return
    with pytest.raises(Failed) as failure:
        content.refuse_differences(contents, tmp_path, "app")
    assert printed in failure.value.why


def _silent(_words: str) -> None:
    return None
