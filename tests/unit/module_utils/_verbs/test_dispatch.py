from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._backup.manifest import list_proven
from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._module.call import call_verb
from ansible_collections.hosting.alembic.plugins.module_utils._release.lookup import (
    find_virtualenv_python,
    read_current_release,
)
from ansible_collections.hosting.alembic.plugins.module_utils._verbs import dispatch
from tests.codes import assert_error, refused
from tests.unit.stage import Host, database, heads, script, sql, tables


def options(host: Host, file: Path, **more: Any) -> dict[str, Any]:
    release = read_current_release(str(host.root))
    entry = {"name": "app", "url": f"sqlite:///{file}"}
    return {"root": str(host.root), "release": release, "databases": [entry], "run": "r1", "follow": 60, **more}


def test_upgrade_and_revert_from_end_to_end_under_the_releases_python(host: Host, file: Path) -> None:
    host.ship("broken")
    script(file, "create table mine (a); insert into mine values (1)")
    python = find_virtualenv_python(str(host.root), "broken")
    assert python is not None

    (plan,) = call_verb(python, "plan", options(host, file))["databases"]
    (upgrade,) = call_verb(python, "upgrade", options(host, file))["results"]
    half = tables(file)
    (downgrade,) = call_verb(python, "downgrade", options(host, file))["results"]

    assert [step["revision"] for step in plan["pending"]] == ["0001", "0002", "0003", "0004"]
    assert (upgrade["outcome"], upgrade["after"]) == ("failed", ["0002"])
    assert {"half", "item"} <= half
    assert (downgrade["outcome"], downgrade["after"]) == ("restored", [])
    assert tables(file) == {"mine"}
    assert sql(file, "select a from mine") == [(1,)]


def test_what_env_py_prints_does_not_get_into_the_answer(host: Host, file: Path) -> None:
    host.ship("prints")

    (result,) = call_verb(Path(sys.executable), "upgrade", options(host, file))["results"]

    assert result["outcome"] == "upgraded"
    assert heads(file) == ["0001"]
    assert "env.py prints" in host.layout.locate_journal("app", "r1").with_suffix(".output").read_text()


def test_a_refusal_crosses_over_whole(host: Host, file: Path) -> None:
    host.ship("generic")

    with pytest.raises(Refused) as refusal:
        call_verb(Path(sys.executable), "upgrade", options(host, file, run="../up"))

    assert_error(refusal.value, "run-id-invalid", "'../up'")


@pytest.mark.parametrize(
    ("entry", "verb"), [("_plan.entry", "plan"), ("_verbs.entry", "plan"), ("_verbs.entry", "upgrade")]
)
def test_a_python_without_alembic_is_refused_with_what_to_add(
    host: Host, file: Path, tmp_path: Path, entry: str, verb: str
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    packed = str(Path(dispatch.__file__)).split("/ansible_collections/", maxsplit=1)[0]
    statement = f"from {dispatch.__name__.rpartition('._verbs.')[0]}.{entry} import main; main()"

    done = subprocess.run(
        [str(bare / "bin" / "python"), "-c", statement],
        input=json.dumps({**options(host, file), "verb": verb}),
        env={**variables, "PYTHONPATH": packed},
        capture_output=True,
        text=True,
        check=True,
    )

    refused = json.loads(done.stdout)["refused"]
    assert "alembic" in refused["why"] or "sqlalchemy" in refused["why"]
    assert "migrate_packages" in refused["remedy"]


def test_a_python_that_cannot_start_it_is_refused_with_its_words(host: Host, file: Path, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'this is no Python' >&2\nexit 3\n")
    fake.chmod(0o755)

    with refused("module-crashed", "this is no Python", "migrate_virtualenv"):
        call_verb(fake, "plan", options(host, file))


def test_secrets_are_on_no_command_line(host: Host, file: Path, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    seen = tmp_path / "seen"
    fake.write_text(f"#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline > {seen}\nenv >> {seen}\ncat >> {seen}.input\n")
    fake.chmod(0o755)
    entry = {"name": "app", "url": f"sqlite:///{file}", "password": "hunter2"}

    with pytest.raises(Refused):
        call_verb(fake, "plan", options(host, file, databases=[entry]))

    assert "hunter2" not in seen.read_text()
    # A process that forks the databases' processes reads the job; the secrets wait in a descriptor of their own.
    assert "hunter2" not in Path(f"{seen}.input").read_text()
    assert '"name": "app"' in Path(f"{seen}.input").read_text()


# The verbs that need no more than one call


def test_a_backup_alone_changes_nothing_in_the_database(host: Host, file: Path) -> None:
    host.ship("generic")
    script(file, "create table mine (a)")
    before = file.read_bytes()

    result = host.result("backup", database(file))

    assert (result["outcome"], result["changed"], result["before"], result["after"]) == ("backed_up", True, [], [])
    assert [manifest.run for manifest in list_proven(host.layout.locate_backups("app"))] == ["r1"]
    assert file.read_bytes() == before


def test_there_is_nothing_to_back_up_where_nothing_is(host: Host, file: Path) -> None:
    host.ship("generic")

    result = host.result("backup", database(file))

    assert result["outcome"] == "refused"
    assert_error(result["error"], "database-missing")


def test_old_backups_go_and_the_one_that_a_revert_needs_stays(host: Host, file: Path) -> None:
    host.ship("generic")
    host.result("upgrade", database(file, target="0001"), run="first")
    host.result("upgrade", database(file), run="second")
    for number in range(3):
        host.result("backup", database(file), run=f"b{number}", backup_keep=2)

    runs = [manifest.run for manifest in list_proven(host.layout.locate_backups("app"))]

    assert runs == ["b2", "b1", "second"]


def test_databases_are_answered_in_the_order_of_the_request(host: Host, file: Path) -> None:
    host.ship("generic")
    entries = [database(file.with_name(f"{name}.db"), name) for name in ("c", "a", "b")]

    assert [plan["name"] for plan in host.do("plan", *entries)["databases"]] == ["c", "a", "b"]
    assert [result["name"] for result in host.do("upgrade", *entries)["results"]] == ["c", "a", "b"]
