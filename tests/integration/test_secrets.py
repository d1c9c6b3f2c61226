"""A password is nowhere but in the inventory and in the database's own pipe."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.site import PLAYBOOKS, Site, assert_says
from tests.integration.targets import PostgresTarget, SQLiteTarget
from tests.lab import ansible
from tests.lab.processes import command_lines

#: Characters that URLs, shells and YAML each write in their own way.
PASSWORD = "p@ss/w0rd%41 'x\"$HOME"
MARK = "environment-Secret-7261"
ARGUMENT = "argument-Secret-3408"


def forms(password: str) -> list[str]:
    """All ways in which a password may be written somewhere."""
    return sorted(
        {password, quote(password, safe=""), quote(password), json.dumps(password)[1:-1], repr(password)[1:-1]}
    )


def assert_nowhere(words: list[str], outcome: ansible.Outcome, lines: set[str], root: Path) -> None:
    for word in words:
        assert word not in outcome.output, word
        assert word not in json.dumps(outcome.events), word
        assert not [line for line in lines if word in line], word
        encoded = word.encode()
        holding = [path for path in root.rglob("*") if path.is_file() and encoded in path.read_bytes()]
        assert not [path for path in holding if "virtualenv" not in path.parts], word


def with_password(postgres: PostgresTarget, way: str) -> dict[str, Any]:
    """The entry of a database whose password is hard to write, given in one of three ways."""
    server = postgres.database.server
    escaped = PASSWORD.replace("'", "''")
    server.execute(f"ALTER ROLE \"{postgres.name}\" PASSWORD '{escaped}'")
    without = postgres.database.url_without_password
    within = server.url(postgres.name, user=postgres.database.user, password=PASSWORD)
    more = {"environment": {"APP_SECRET": MARK}, "x_arguments": [f"key={ARGUMENT}"]}
    if way == "password":
        return {"name": postgres.name, "url": without, "password": PASSWORD, **more}
    if way == "direct_url":
        return {"name": postgres.name, "url": without, "direct_url": within, **more}
    return {"name": postgres.name, "url": within, **more}


@pytest.mark.parametrize("way", ["password", "url", "direct_url"])
def test_a_password_is_on_no_command_line_in_no_output_and_in_no_file(
    site: Site, postgres: PostgresTarget, way: str
) -> None:
    source = site.source("broken").keep("0001", "0002")
    entry = with_password(postgres, way)
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [entry]}
    with command_lines() as lines:
        first = site.run("migrate", "-vvv", "--diff", **settings)
        status = site.run("status", "-vvv", **settings)
        # A failure says more than a success: driver's words, tracebacks, ways out.
        source.add("0003", "0002").add("0004", "0003", "op.execute('SELECT no_such_column')")
        failed = site.run("migrate", "-vvv", code=2, **settings)
        source.replace(
            "with connectable.connect()",
            "raise RuntimeError(config.get_main_option('sqlalchemy.url'), context.get_x_argument())\n"
            "with connectable.connect()",
        )
        reported = site.run("migrate", "-vvv", code=2, **settings)
    assert any("pg_dump" in line for line in lines)
    assert_says(first.output, f"{postgres.name} upgraded base 0002")
    words = [*forms(PASSWORD), MARK, ARGUMENT]
    for outcome in (first, status, failed, reported):
        assert_nowhere(words, outcome, lines, site.root)


def test_a_password_is_nowhere_after_a_failure_that_is_held_and_a_restore(site: Site, postgres: PostgresTarget) -> None:
    source = site.source("broken_autocommit")
    settings: dict[str, Any] = {"migrate_source": source, "migrate_databases": [with_password(postgres, "password")]}
    site.run("migrate", migrate_target="0001", **settings)
    with command_lines() as lines:
        held = site.run("migrate", "-vvv", "--diff", code=2, migrate_on_failure="hold", **settings)
        requested: dict[str, Any] = {"migrate_restore_databases": [postgres.name], "migrate_restore_loses_writes": True}
        restored = site.run("restore", "-vvv", "--diff", **settings, **requested)
    assert_says(held.output, "HELD at")
    assert postgres.database.execute("SELECT version_num FROM alembic_version") == [["0001"]]
    for outcome in (held, restored):
        assert_nowhere([*forms(PASSWORD), MARK, ARGUMENT], outcome, lines, site.root)


@pytest.mark.parametrize("folder", ["backups", "journals", "workers", "releases"])
def test_a_symbolic_link_planted_in_a_working_directory_is_not_followed(
    site: Site, sqlite: SQLiteTarget, tmp_path: Path, folder: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    site.root.mkdir(mode=0o700)
    (site.root / folder).symlink_to(elsewhere)
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    outcome = ansible.playbook(PLAYBOOKS / "migrate.yml", inventory=site.inventory(**settings))
    assert list(elsewhere.iterdir()) == [], outcome.output
    outcome.ended(2)


@pytest.mark.parametrize("way", ["password", "url"])
def test_a_wrong_password_is_not_repeated_in_the_refusal(site: Site, postgres: PostgresTarget, way: str) -> None:
    entry = with_password(postgres, way)
    postgres.database.server.execute(f"ALTER ROLE \"{postgres.name}\" PASSWORD 'another'")
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [entry]}
    with command_lines() as lines:
        outcome = site.run("migrate", "-vvv", code=2, **settings)
    assert_says(outcome.output, "password authentication failed")
    assert_nowhere([*forms(PASSWORD), MARK, ARGUMENT], outcome, lines, site.root)


def test_what_a_run_leaves_on_the_host_is_readable_by_its_owner_only(site: Site, postgres: PostgresTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [postgres.entry]}
    site.run("migrate", **settings)
    assert site.root.stat().st_mode & 0o777 == 0o700
    for folder in ("backups", "journals", "workers"):
        for path in [site.root / folder, *(site.root / folder).rglob("*")]:
            assert not path.stat().st_mode & 0o077, path
            assert path.stat().st_uid == os.getuid(), path
