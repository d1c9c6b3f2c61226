"""The parts of a URL without SQLAlchemy are those that SQLAlchemy finds."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from ansible_collections.hosting.alembic.plugins.module_utils._core.url_parts import parse_plain_url
from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.libpq_options import (
    build_libpq_options,
)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db/shop",
        "postgresql+psycopg2://u%40x:p%2Fa%3Ass%25@db.example.net:5433/shop",
        "postgresql://u@[::1]:5432/shop",
        "postgresql://u:p@/shop?host=/run/postgresql&port=5433",
        "postgresql://u:p@/shop?host=one:5432&host=two:5433",
        "postgresql://u:p@one/shop?sslmode=require&application_name=a%20b",
        "postgresql+asyncpg://u:p@one/shop?ssl=true&direct_tls=true",
        "postgresql+pg8000://u@/shop?unix_sock=/run/postgresql/.s.PGSQL.5432",
        "postgresql://one/shop?user=u&password=a%2Bb",
        "postgresql:///?service=shop",
    ],
)
def test_a_url_leads_where_sqlalchemy_reads_it_to(url: str) -> None:
    assert build_libpq_options(parse_plain_url(url)) == build_libpq_options(make_url(url))
