"""The text of a dump, read in pieces."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql import content_verification
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.archived_checksums import (
    read_archived_rows,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.client_tools import find_tools
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.psql import Contents
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import Database as Postgres

SCRIPT = rb"""SET row_security = off;
-- a comment
COPY public.item (id, name) FROM stdin;
1	one
2	\\.
3	\.x
\.


COPY public."two
lines" (id) FROM stdin;
COPY
\.


COPY public.empty (id) FROM stdin;
\.

SELECT pg_catalog.setval('public.item_id_seq', 3, true);
"""


READERS = [content_verification.hash_rows, content_verification.compute_rows_checksum]
each_reader = pytest.mark.parametrize("reader", READERS)


def read(script: bytes, reader: content_verification.RowsReader) -> dict[bytes, Any]:
    stream: IO[bytes] = BytesIO(script)
    return content_verification.hash_script(stream, reader)


@each_reader
@pytest.mark.parametrize("piece", range(1, 40))
def test_each_table_is_found_however_the_text_is_cut(
    monkeypatch: pytest.MonkeyPatch, piece: int, reader: content_verification.RowsReader
) -> None:
    whole = read(SCRIPT, reader)
    monkeypatch.setattr(content_verification, "_PIECE", piece)

    assert read(SCRIPT, reader) == whole
    assert [key.decode().partition(" (")[0] for key in whole] == [
        "COPY public.item", 'COPY public."two\nlines"', "COPY public.empty", "",
    ]  # fmt: skip


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 8, 13, 1 << 20])
def test_the_checksum_is_that_of_the_file_in_an_archive(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(content_verification, "_PIECE", piece)
    [item, lines, empty, _others] = read(SCRIPT, content_verification.compute_rows_checksum).values()

    for found, rows in ((item, b"1\tone\n2\t\\\\.\n3\t\\.x\n"), (lines, b"COPY\n"), (empty, b"")):
        text = rows + b"\\.\n\n\n"
        assert (found.crc, found.length) == (zlib.crc32(text), len(text))


@each_reader
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"one", b"two"),
        (b"3, true", b"4, true"),
        (b"2\t", b"22\t"),
        (b"1\tone\n", b""),
        (b"1\tone\n", b"1\tone\n1\tone\n"),
        (b"COPY\n", b"copy\n"),
        (b'lines" (', b'words" ('),
        (b"1\tone\n2\t\\\\.\n", b"2\t\\\\.\n1\tone\n"),
    ],
)
def test_what_differs_is_seen(old: bytes, new: bytes, reader: content_verification.RowsReader) -> None:
    assert old in SCRIPT
    assert read(SCRIPT.replace(old, new), reader) != read(SCRIPT, reader)


@each_reader
@pytest.mark.parametrize("end", [90, SCRIPT.index(b"lines") - 1])
def test_a_text_that_ends_early_is_not_a_dump(reader: content_verification.RowsReader, end: int) -> None:
    with pytest.raises(Failed):
        read(SCRIPT[:end], reader)


FILLED = """
create table item (id serial primary key, name text, size float8, data bytea);
insert into item (name, size, data) select 'a ' || i || E'\\t\\n\\\\.', i / 3.0, 'x' from generate_series(1, 2000) i;
create table part (id integer) partition by range (id);
create table part_1 partition of part for values from (0) to (9);
insert into part values (1), (2);
select lo_from_bytea(7, repeat('large', 9999)::bytea);
create table one (id integer, name text);
create table other (id integer, name text);
insert into one values (1, 'a'), (2, 'b');
insert into other values (1, 'a'), (3, 'b');
create table "two
lines" (id integer);
insert into "two
lines" values (1), (2);
"""
SWAPPED = "alter table one rename to x; alter table other rename to one; alter table x rename to other"


#: By what rows are compared: the compression of an archive that lets them be, and from how many bytes on two sessions
#: read them.
WAYS = {"by checksums": (6, 1 << 30), "by checksums of two sessions": (6, 0), "by texts": (0, 0)}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize(
    ("change", "printed"),
    [
        ("select 1", ""),
        ("update item set name = name where id < 9; cluster item using item_pkey", ""),
        ("update item set id = id where id = 1", ""),  # the same rows in another order
        ("update item set size = size + 1e-12 where id = 1999", "rows of table public.item differ"),
        ("delete from item where id = 7", "2000 rows in the backup, 1999 restored"),
        ("insert into item select 2001, name, size, data from item where id = 7", "2001 restored"),
        (
            "update item set name = 'a ' || case id when 8 then 9 else 8 end || right(name, 4) where id in (8, 9)",
            "item",
        ),
        ('update "two\nlines" set id = 3 where id = 1', 'rows of table public."two\nlines" differ'),
        (SWAPPED, "rows of table public.one differ"),
        ("drop table one", "rows of table public.one differ"),
        ("drop table item, one, other", "rows of table public.item differ"),
        ("create table more as select 1 as id", "rows of table public.more differ"),
        ("insert into part values (1)", "rows of table public.part_1 differ"),
        ("select lo_put(7, 3, 'X')", "large object 7 differs"),
        ("select setval('item_id_seq', 9)", "sequence public.item_id_seq differs"),
    ],
)
def test_a_database_is_compared_with_its_archive(
    postgres_database: Postgres,
    tmp_path: Path,
    change: str,
    printed: str,
    way: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compression, worth = way
    monkeypatch.setattr(content_verification, "_WORTH_TWO_SESSIONS", worth)
    postgres_database.execute(FILLED)
    server = postgres_database.server
    engine = build_engine(Database("app", server.url(postgres_database.name)), _job(tmp_path, compression))
    archive = engine.dump(tmp_path, False, _silent).path
    engine.close()
    found = find_tools("")
    assert found is not None
    postgres_database.execute(change)

    content = content_verification.RestoredContent(found, archive, engine.url, "test", _silent)
    contents = Contents.of(found, archive, _silent)
    assert (read_archived_rows(archive, contents.select_lines(["TABLE DATA"])) is None) == (not compression)
    if not printed:
        content.refuse_differences(contents, tmp_path, "app")
        return
    with pytest.raises(Failed) as failure:
        content.refuse_differences(contents, tmp_path, "app")
    assert printed in failure.value.why


def test_rows_are_not_unpacked_again(postgres_database: Postgres, tmp_path: Path) -> None:
    """What is between the first and the last bytes of the files is not read: pg_restore has read it."""
    postgres_database.execute(FILLED)
    url = postgres_database.server.url(postgres_database.name)
    engine = build_engine(Database("app", url), _job(tmp_path, 6))
    archive = engine.dump(tmp_path, False, _silent).path
    engine.close()
    found = find_tools("")
    assert found is not None
    contents = Contents.of(found, archive, _silent)
    files = list(archive.glob("[0-9]*.dat.gz"))
    assert len(files) > 3
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[:2] + bytes(len(whole) - 10) + whole[-8:])

    content = content_verification.RestoredContent(found, archive, engine.url, "test", _silent)
    content.refuse_differences(contents, tmp_path, "app")

    postgres_database.execute("delete from part")
    with pytest.raises(Failed):
        content.refuse_differences(contents, tmp_path, "app")


def _job(folder: Path, compression: int) -> Job:
    return Job("backup", str(folder), run="r1", backup_compression=compression)


def _silent(_words: str) -> None:
    return None
