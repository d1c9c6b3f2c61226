"""Rows that a session has copied out are compared with those of an archive by the same digest."""

from __future__ import annotations

import io

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.content_verification import (
    hash_rows,
)
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.replayed_content import _hash_rows


@pytest.mark.parametrize("rows", [b"", b"1\tone\n", b"1\tone\n2\ttwo\n"])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_the_same_rows_have_the_same_digest_however_they_are_cut(rows: bytes, size: int) -> None:
    pieces = [rows[at : at + size] for at in range(0, len(rows), size)]

    assert _hash_rows(pieces) == hash_rows(io.BytesIO(rows + b"\\.\n"), b"")[0]
