"""The checksums that an archive keeps of its rows, and archives of which nothing is read in this way."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database, Job
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.archived_checksums import (
    AFTER_ROWS,
    ArchivedRows,
    Checksum,
    read_archived_rows,
    select_half,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.client_tools import find_tools
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.psql import Contents
from ansible_collections.hosting.alembic.plugins.module_utils._engines.registry import build_engine
from tests.lab.fixtures import Database as Postgres

ROWS = b"1\tone\n2\t\\N\n"
LINE = "7; 0 16385 TABLE DATA public item owner"
COPY = b"COPY public.item (id, name) FROM stdin;\n"


def number(value: int) -> bytes:
    return bytes([value < 0]) + abs(value).to_bytes(4, "little")


def text(value: bytes | None) -> bytes:
    return number(-1) if value is None else number(len(value)) + value


def entry(version: int, dump_id: int, kind: bytes, statement: bytes | None, file: bytes) -> bytes:
    return b"".join([
        number(dump_id), number(1), text(b"0"), text(b"16385"), text(b"item"), text(kind), number(3),
        text(b""), text(None), text(statement), text(b"public"), text(b""), text(b"heap"),
        *([number(114)] if version >= 16 else []),
        text(b"owner"), text(b"false"), text(b"12"), text(b"13"), text(None), text(file),
    ])  # fmt: skip


def table_of_contents(version: int = 14, statement: bytes | None = COPY, file: bytes = b"7.dat") -> bytes:
    """Return what pg_dump writes, as its sources say."""
    entries = [
        entry(version, 6, b"TABLE", None, b""),
        entry(version, 7, b"TABLE DATA", statement, file),
        entry(version, 8, b"INDEX", None, b""),
    ]
    compression = number(6) if version < 15 else b"\x01"
    return b"".join([
        b"PGDMP", bytes([1, version, 0, 4, 8, 3]), compression, *map(number, (1, 2, 3, 4, 5, 126, 0)),
        text(b"app"), text(b"15.1"), text(b"15.1"), number(len(entries)), *entries,
    ])  # fmt: skip


def archive(folder: Path, content: bytes) -> Path:
    (folder / "toc.dat").write_bytes(content)
    (folder / "7.dat.gz").write_bytes(gzip.compress(ROWS + AFTER_ROWS))
    return folder


@pytest.mark.parametrize("version", [14, 15, 16])
def test_each_version_of_the_format_is_read(tmp_path: Path, version: int) -> None:
    found = read_archived_rows(archive(tmp_path, table_of_contents(version)), [LINE])

    expected = ROWS + AFTER_ROWS
    size = (tmp_path / "7.dat.gz").stat().st_size
    assert found == {COPY: ArchivedRows(Checksum(zlib.crc32(expected), len(expected)), (b"public", b"item"), size)}


@pytest.mark.parametrize("version", [14, 16])
def test_what_is_not_understood_to_its_last_byte_is_not_used(tmp_path: Path, version: int) -> None:
    whole = table_of_contents(version)
    for content in [*(whole[:end] for end in range(len(whole))), whole + b"\0"]:
        assert read_archived_rows(archive(tmp_path, content), [LINE]) is None


@pytest.mark.parametrize(
    "content",
    [
        table_of_contents(13),
        table_of_contents(17),
        table_of_contents(statement=None),
        table_of_contents(statement=b"INSERT"),
        table_of_contents(file=b"../7.dat"),
        table_of_contents(file=b"9.dat"),
        table_of_contents(file=b""),
        b"",
    ],
)
def test_other_archives_have_no_checksums(tmp_path: Path, content: bytes) -> None:
    assert read_archived_rows(archive(tmp_path, content), [LINE]) is None


def test_rows_in_other_files_have_none(tmp_path: Path) -> None:
    folder = archive(tmp_path, table_of_contents())
    assert read_archived_rows(folder, ["9" + LINE[1:]]) is None
    assert read_archived_rows(folder, [LINE, LINE]) is None
    assert read_archived_rows(folder / "toc.dat", [LINE]) is None

    (folder / "7.dat").write_bytes(ROWS + AFTER_ROWS)  # which pg_restore prefers
    assert read_archived_rows(folder, [LINE]) is None
    (folder / "7.dat").unlink()
    assert read_archived_rows(folder, [LINE]) is not None

    for other in (b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd" + bytes(40)):
        (folder / "7.dat.gz").write_bytes(other)
        assert read_archived_rows(folder, [LINE]) is None


def test_what_pg_dump_writes_is_read(postgres_database: Postgres, tmp_path: Path) -> None:
    postgres_database.execute(
        """
        create table "q""u.x" (a integer, "b c" text);
        insert into "q""u.x" values (1, null), (2, E'a\\tb\\\\.');
        create table nothing ();
        create table "two
lines" (id integer);
        insert into "two
lines" values (1);
        """
    )
    url = postgres_database.server.url(postgres_database.name)
    engine = build_engine(Database("app", url), Job("backup", str(tmp_path), run="r1"))
    dump = engine.dump(tmp_path, False, _silent).path
    engine.close()
    found = find_tools("")
    assert found is not None

    rows = read_archived_rows(dump, Contents.of(found, dump, _silent).select_lines(["TABLE DATA"]))

    assert rows is not None
    assert {statement: each.checksum for statement, each in rows.items()} == {
        b'COPY public."q""u.x" (a, "b c") FROM stdin;\n': _of(b"1\t\\N\n2\ta\\tb\\\\.\n"),
        b"COPY public.nothing  FROM stdin;\n": _of(b""),
        b'COPY public."two\nlines" (id) FROM stdin;\n': _of(b"1\n"),
    }

    assert {each.table for each in rows.values()} == {
        (b"public", name) for name in (b'q"u.x', b"nothing", b"two\nlines")
    }


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ({}, []),
        ({"a": 9}, []),
        ({"a": 5, "b": 5}, ["a"]),
        ({"a": 1, "b": 8, "c": 2, "d": 3}, ["d", "c", "a"]),
        ({"a": 4, "b": 4, "c": 4, "ä": 4}, ["a", "b"]),
        ({"ä": 4, "a": 4, "ö": 4, "b": 4}, ["a", "b"]),
        ({'A".*': 1, "b": 1}, ['A"".*']),
    ],
)
def test_a_second_session_has_half_of_the_bytes_at_most(sizes: dict[str, int], chosen: list[str]) -> None:
    rows = [ArchivedRows(Checksum(), (b"s1", name.encode()), size) for name, size in sizes.items()]
    assert select_half(rows) == [f'"s1"."{name}"' for name in chosen]


def test_a_command_names_so_many_tables_at_the_most() -> None:
    assert len(select_half([ArchivedRows(Checksum(), (b"s1", b"%d" % number), 1) for number in range(999)])) == 50


def _of(rows: bytes) -> Checksum:
    return Checksum().with_text(rows + AFTER_ROWS)


def _silent(_words: str) -> None:
    return None
