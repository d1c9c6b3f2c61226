"""What cannot work is refused before anything changes, all of it at once, each with its reason and what to do."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.codes import assert_code
from tests.integration.servers import Pooler, Standby
from tests.integration.site import Site, assert_says
from tests.integration.targets import PostgresTarget, SQLiteTarget, Target, program
from tests.lab.server import free_port


@pytest.fixture
def standby(postgres: PostgresTarget) -> Iterator[Standby]:
    """A standby that holds the test's database."""
    server = Standby(fsync=False, primary=postgres.database.server)
    with server:
        yield server


OF_THE_DATABASE = {"lock_timeout": "66s", "statement_timeout": "77s", "idle_session_timeout": "88s"}


@pytest.fixture
def pooler(postgres: PostgresTarget) -> Iterator[Pooler]:
    # What its one connection to the server says of these shows who has changed them since.
    for name, value in OF_THE_DATABASE.items():
        postgres.database.server.execute(f"ALTER DATABASE {postgres.name} SET {name} = '{value}'")
    # pytest's own folders are closed to the user it runs as.
    with tempfile.TemporaryDirectory(prefix="hosting-alembic-pooler-") as folder, Pooler(postgres, Path(folder)) as it:
        yield it


def test_all_refusals_of_all_databases_are_shown_at_once_before_anything_changes(
    site: Site,
    more_postgres: Callable[[], PostgresTarget],
    standby: Standby,
    postgres: PostgresTarget,
    pooler: Pooler,
    sqlite: SQLiteTarget,
) -> None:
    good, unknown, closed = more_postgres(), more_postgres(), more_postgres()
    unknown.rows("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    unknown.rows("INSERT INTO alembic_version VALUES ('f00dfeed')")
    closed.database.server.execute("CREATE TABLE secret (id int)", closed.name)
    user = postgres.database.user
    entries = [
        good.entry,
        {"name": "nobody-listens", "url": f"postgresql://somebody@127.0.0.1:{free_port()}/app"},
        {"name": "wrong-password", "url": postgres.database.url_without_password, "password": "not this one"},
        {"name": "no-such-database", "url": f"{postgres.url.rsplit('/', 1)[0]}/no_such_database"},
        {"name": "standby", "url": standby.url(postgres.name, user=user, password=postgres.database.password)},
        {"name": "pooler", "url": pooler.url},
        {**unknown.entry, "name": "unknown-revision"},
        {**closed.entry, "name": "no-permission"},
        {"name": "no-folder", "url": f"sqlite:///{sqlite.path.parent}/missing/app.db"},
        {"name": "relative", "url": "sqlite:///app.db"},
        {"name": "no-such-target", "url": sqlite.url, "target": "0815"},
        {"name": "no-driver", "url": "oracle://somebody@127.0.0.1/app"},
        {"name": "no-url", "url": "this is none"},
    ]
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": entries}
    site.run("ship", **settings)
    targets = (good, unknown, closed, postgres)
    dumps, tree = [target.dump() for target in targets if target is not closed], site.tree()

    plan = site.run("plan", code=2, **settings)
    outcome = site.run("migrate", code=2, migrate_on_refusal="stop", **settings)
    assert [target.dump() for target in targets if target is not closed] == dumps
    assert closed.tables() == ["secret"]
    assert not sqlite.path.exists()
    assert site.tree() == tree
    expected = [
        ("nobody-listens", "database-unreachable", "refused"),
        ("wrong-password", "database-unreachable", "password authentication failed"),
        ("no-such-database", "database-unreachable", '"no_such_database" does not exist'),
        ("standby", "server-is-standby", "primary"),
        ("pooler", "connection-pooler", "direct_url"),
        ("unknown-revision", "revision-unknown", "f00dfeed"),
        ("no-permission", "privileges-missing", "public.secret"),
        ("no-folder", "database-not-creatable", "missing"),
        ("relative", "url-invalid", "sqlite:////"),
        ("no-such-target", "target-unreachable", "0815"),
        ("no-driver", "database-type-unsupported", "oracle"),
        ("no-url", "url-invalid", "SQLAlchemy"),
    ]
    for name, code, named in expected:
        for each in (plan, outcome):
            assert_code(each, code, named, database=name)
    (failed,) = outcome.results("Plan every database", kind="failed")
    refusals = failed["msg"].strip().splitlines()[1:]
    refused = {line.split(":", 1)[0] for line in refusals}
    assert refused == {name for name, *_ in expected}


def test_a_direct_url_leads_past_a_pooler(site: Site, postgres: PostgresTarget, pooler: Pooler) -> None:
    entry = {**postgres.entry, "url": pooler.url, "direct_url": postgres.url}
    site.run("migrate", migrate_source=site.source("generic"), migrate_databases=[entry])
    assert postgres.revisions == ["0002"]


def test_reading_through_a_pooler_leaves_no_settings_to_other_clients(site: Site, pooler: Pooler) -> None:
    def settings() -> dict[str, str]:
        with closing(psycopg2.connect(pooler.url)) as client, client.cursor() as cursor:
            cursor.execute(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(OF_THE_DATABASE)]
            )
            return dict(cursor.fetchall())

    assert settings() == OF_THE_DATABASE
    pooled = {"name": "pooled", "url": pooler.url}
    site.run("migrate", code=2, migrate_source=site.source("generic"), migrate_databases=[pooled])
    assert settings() == OF_THE_DATABASE


def test_a_database_at_a_later_revision_names_the_release_that_knows_it(site: Site, targets: list[Target]) -> None:
    settings: dict[str, Any] = {"migrate_databases": [target.entry for target in targets]}
    site.run("migrate", migrate_source=site.source("generic", "newer"), **settings)
    release = (site.root / "releases" / "current").readlink().name
    before = [target.dump() for target in targets]
    outcome = site.run("migrate", code=2, migrate_source=site.source("generic", "older").keep("0001"), **settings)
    assert [target.dump() for target in targets] == before
    for target in targets:
        assert_code(outcome, "revision-unknown", "0002", release[:12], database=target.name)


def test_several_heads_are_refused_and_named(site: Site, targets: list[Target]) -> None:
    before = [target.dump() for target in targets]
    databases = [target.entry for target in targets]
    outcome = site.run("migrate", code=2, migrate_source=site.source("multi_heads"), migrate_databases=databases)
    assert [target.dump() for target in targets] == before
    for target in targets:
        assert_code(outcome, "several-heads", "c002, e002", "migrate_target", database=target.name)


def test_a_missing_and_an_older_pg_dump_are_refused(site: Site, postgres: PostgresTarget, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [postgres.entry]}
    programs = tmp_path / "programs"
    programs.mkdir()
    outcome = site.run("migrate", code=2, migrate_pg_bin=programs, **settings)
    assert_code(outcome, "client-program-missing", "pg_dump", "postgresql-client-15", database=postgres.name)
    for name in ("pg_dump", "pg_restore"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) 13.4"\n')
        (programs / name).chmod(0o755)
    outcome = site.run("migrate", code=2, migrate_pg_bin=programs, **settings)
    assert_code(outcome, "client-program-too-old", "pg_dump", "13.4", "15", "migrate_pg_bin", database=postgres.name)
    assert postgres.tables() == []
    assert postgres.revisions == []


@pytest.fixture
def small_root(site: Site) -> Iterator[Path]:
    """Make the site's root a file system of its own with one megabyte."""
    site.root.mkdir(mode=0o700)
    done = program("mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", site.root)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield site.root
    subprocess.run(["umount", "--lazy", site.root], check=True)


@pytest.mark.usefixtures("small_root")
def test_too_little_disk_for_the_backup_is_refused(site: Site, sqlite: SQLiteTarget, postgres: PostgresTarget) -> None:
    sqlite.path.touch()
    sqlite.rows("CREATE TABLE large (filling text)")
    sqlite.rows(f"INSERT INTO large VALUES ('{'filling ' * 300_000}')")
    postgres.rows("CREATE TABLE large (filling text)")
    postgres.rows("INSERT INTO large SELECT repeat(md5(n::text), 40) FROM generate_series(1, 2000) n")
    before = sqlite.dump(), postgres.dump()
    databases = [sqlite.entry, postgres.entry]
    outcome = site.run("migrate", code=2, migrate_source=site.source("generic"), migrate_databases=databases)
    assert (sqlite.dump(), postgres.dump()) == before
    for target in (sqlite, postgres):
        assert_code(outcome, "disk-too-small", site.root, "migrate_root", database=target.name)


BAD_INPUT: dict[str, tuple[dict[str, Any], list[str]]] = {
    "two entries with one name": (
        {"migrate_databases": [{"name": "app", "url": "sqlite:////a.db"}, {"name": "app", "url": "sqlite:////b.db"}]},
        ["migrate_databases", "'app'"],
    ),
    "an unknown key": (
        {"migrate_databases": [{"name": "app", "url": "sqlite:////a.db", "pasword": "x"}]},
        ["pasword"],
    ),
    "a list for a string": (
        {"migrate_databases": [{"name": "app", "url": ["sqlite:////a.db"]}]},
        ["url", "string", "list"],
    ),
    "a string for a list": (
        {"migrate_databases": [{"name": "app", "url": "sqlite:////a.db", "x_arguments": "tenant=a"}]},
        ["x_arguments"],
    ),
    "a list for the source": ({"migrate_source": ["migrations"]}, ["migrate_source", "string", "list"]),
    "a path that is missing": ({"migrate_source": "/no/such/folder"}, ["/no/such/folder"]),
    "a wheelhouse that is missing": ({"migrate_wheelhouse": "/no/such/wheels"}, ["/no/such/wheels"]),
    "a folder without migrations": ({"migrate_source": "/usr/share/doc"}, ["[source-missing]", "/usr/share/doc"]),
    "no databases": ({"migrate_databases": []}, ["migrate_databases"]),
    "a list for the target": ({"migrate_target": ["heads"]}, ["migrate_target", "string"]),
    "a word for a number": ({"migrate_workers": "many"}, ["migrate_workers"]),
    "a root that depends on a working directory": ({"migrate_root": "relative"}, ["migrate_root", "'relative'"]),
    "a misspelt key of a health check": ({"migrate_health_checks": [{"ulr": "http://127.0.0.1"}]}, ["keys: ulr"]),
    "a misspelt key of a service": ({"migrate_services": [{"nam": "shop"}]}, ["keys: nam"]),
    "a run id that is not a file name": ({"migrate_run": "../run"}, ["[run-id-invalid]", "'../run'"]),
    "nothing says what to install": ({"migrate_virtualenv": ""}, ["[requirements-missing]", "migrate_packages"]),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_on_the_controller(site: Site, sqlite: SQLiteTarget, case: str) -> None:
    wrong, phrases = BAD_INPUT[case]
    settings = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry], **wrong}
    outcome = site.run("migrate", code=2, **settings)
    assert_says(outcome.output, *phrases)
    assert not sqlite.path.exists()
    assert not site.root.exists()


def test_a_link_that_leads_out_of_the_source_is_refused(site: Site, sqlite: SQLiteTarget) -> None:
    source = site.source("generic")
    (source.folder / "passwords").symlink_to("/etc/passwd")
    outcome = site.run("migrate", code=2, migrate_source=source, migrate_databases=[sqlite.entry])
    assert_code(outcome, "source-leads-out", "passwords", "/etc/passwd")
    assert not sqlite.path.exists()


def test_a_virtualenv_that_is_missing_is_refused(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    outcome = site.run("migrate", code=2, migrate_virtualenv="/no/such/virtualenv", **settings)
    assert_code(outcome, "virtualenv-missing", "/no/such/virtualenv")
    assert not sqlite.path.exists()


def test_rolling_back_a_run_that_is_unknown_is_refused(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}
    outcome = site.run("rollback", code=2, **settings)
    assert_code(outcome, "run-unknown")
    site.run("migrate", **settings)
    dump = sqlite.dump()
    outcome = site.run("rollback", code=2, migrate_rollback_run="unheard-of", **settings)
    assert_code(outcome, "run-unknown", "unheard-of")
    assert sqlite.dump() == dump


def test_a_python_that_is_not_on_the_host_is_named(site: Site, sqlite: SQLiteTarget) -> None:
    settings: dict[str, Any] = {"migrate_source": site.source("generic"), "migrate_databases": [sqlite.entry]}

    for verb in ("plan", "migrate"):
        outcome = site.run(verb, "--extra-vars", "ansible_python_interpreter=/nowhere/python", code=2, **settings)
        assert_code(outcome, "interpreter-not-started", "/nowhere/python")

    assert not sqlite.path.exists()
