"""A placeholder for the URL leads env.py to the database in an upgrade, and to the copy in a rehearsal."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._engines.migration_url import build_migration_url
from ansible_collections.hosting.alembic.plugins.module_utils._migration.placeholders import (
    fill_url,
    refuse_literal_url,
)
from tests.codes import assert_error
from tests.unit.module_utils._migration.test_env_variants import CONNECT, RUN, START
from tests.unit.stage import Host, database, heads, tables

BY_VARIABLE = START + "url = os.environ['SHOP_URL']\n" + RUN + CONNECT
BY_ARGUMENT = START + "url = context.get_x_argument(as_dictionary=True)['url']\n" + RUN + CONNECT
BY_PART = START + "url = 'sqlite:///' + os.environ['SHOP_FILE']\n" + RUN + CONNECT


@pytest.mark.parametrize(
    ("env_py", "entry"),
    [
        (BY_VARIABLE, {"environment": {"SHOP_URL": "{url}"}}),
        (BY_ARGUMENT, {"x_arguments": ["url={url}"]}),
        (BY_PART, {"environment": {"SHOP_FILE": "{url.database}"}}),
    ],
)
def test_it_leads_to_the_copy_and_then_to_the_database(
    host: Host, file: Path, env_py: str, entry: dict[str, Any]
) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    (source / "migrations" / "env.py").write_text(env_py)
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)
    before = file.read_bytes()

    result = host.result("rehearse", database(file, **entry))

    assert (result["outcome"], result["error"]) == ("rehearsed", None)
    assert file.read_bytes() == before
    assert host.result("upgrade", database(file, **entry), run="r2")["outcome"] == "upgraded"
    assert heads(file) == ["0002"]


def test_the_real_url_is_refused_in_a_rehearsal_before_a_backup(host: Host, file: Path) -> None:
    source = host.layout.release(host.ship("generic")) / "source"
    (source / "migrations" / "env.py").write_text(BY_VARIABLE)
    subprocess.run(["sqlite3", str(file), "create table mine (a)"], check=True)

    result = host.result("rehearse", database(file, environment={"SHOP_URL": f"sqlite:///{file}"}))

    assert result["outcome"] == "refused"
    assert_error(result["error"], "rehearsal-url-literal", "SHOP_URL", "environment: {SHOP_URL: '{url}'}")
    assert (result["backup"], tables(file)) == (None, {"mine"})


REAL = "postgresql://shop:secret@db.example/shop"


@pytest.mark.parametrize(
    ("entry", "refused"),
    [
        ({"environment": {"A": "postgresql+asyncpg://shop:secret@db.example:5432/shop"}}, True),
        ({"environment": {"A": "postgres://other@db.example/shop"}}, True),
        ({"x_arguments": [f"url={REAL}"]}, True),
        ({"x_arguments": [REAL]}, True),
        ({"environment": {"A": REAL}, "url_variables": ["A"]}, False),
        ({"environment": {"A": "postgresql://shop@db.example/else"}}, False),
        ({"environment": {"A": "redis://db.example/0", "B": "{url}"}}, False),
    ],
)
def test_what_names_the_same_database_is_refused(entry: dict[str, Any], refused: bool) -> None:
    one = Database.from_options({"name": "shop", "url": REAL, **entry})
    url = build_migration_url(one)
    if not refused:
        refuse_literal_url(one, url)
        return
    with pytest.raises(Refused) as caught:
        refuse_literal_url(one, url)
    assert "secret" not in str(caught.value)


def test_parts_are_those_of_the_url_and_other_braces_stay() -> None:
    assert fill_url("{url.host}:{url.port}/{url.database} {user}", REAL) == "db.example:/shop {user}"
    assert fill_url("{url}", REAL) == REAL
