"""The examples in ``inventory/`` migrate, from their own files, once their hosts and their servers are there.

Of an example only where its hosts and servers are is another one here. The passwords are those of its own vault.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.site import PLAYBOOKS
from tests.integration.targets import SQLiteTarget
from tests.integration.virtualenvs import virtualenv
from tests.lab import PROJECT, ansible
from tests.lab.mariadb import MariaDBServer
from tests.lab.postgres import PostgresServer

INVENTORY = PROJECT / "inventory"
#: The last revision of the sample application.
NEWEST = "e81a36d5f0c7"


def words_for(example: str) -> list[str]:
    folder = INVENTORY / example
    return ["--inventory", str(folder), "--vault-password-file", str(folder / "vault-password.example.txt")]


def variables_of(example: str) -> dict[str, Any]:
    """All variables of the hosts of an example, its vault's among them."""
    done = subprocess.run(
        [str(ansible.BIN / "ansible-inventory"), *words_for(example), "--list"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout)["_meta"]["hostvars"])


@pytest.mark.parametrize("example", sorted(path.name for path in INVENTORY.iterdir()))
def test_each_example_names_its_databases_and_keeps_its_passwords_in_a_vault(example: str) -> None:
    if example == "local":
        pytest.skip("it has no vault, and the first command of the README runs it")
    hosts = variables_of(example)
    plain = [path for path in (INVENTORY / example).rglob("*.yml") if path.name != "vault.yml"]
    for variables in hosts.values():
        assert variables.get("migrate_databases") or variables.get("migrate_discover")
    for path in plain:
        found = yaml.safe_load(path.read_text())
        secrets = [value for key, value in walk(found) if key == "password"]
        assert all(value.startswith("{{ vault_") for value in secrets), path
    assert (INVENTORY / example / "group_vars" / "all" / "vault.yml").read_text().startswith("$ANSIBLE_VAULT;")


def walk(value: Any) -> list[tuple[str, Any]]:
    """Each key of a tree with its value, if that is text."""
    if isinstance(value, list):
        return [pair for item in value for pair in walk(item)]
    if not isinstance(value, dict):
        return []
    own = [(key, item) for key, item in value.items() if isinstance(item, str)]
    return own + [pair for item in value.values() for pair in walk(item)]


@pytest.fixture
def here(tmp_path: Path, newest_virtualenv: Path) -> dict[str, Any]:
    """What makes an example's hosts those of this machine."""
    return {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "migrate_root": f"{tmp_path}/{{{{ inventory_hostname }}}}",
        "migrate_manifests": str(tmp_path / "manifests"),
        "migrate_virtualenv": str(newest_virtualenv),
    }


def run(example: str, verb: str, variables: dict[str, Any]) -> ansible.Outcome:
    return ansible.playbook(PLAYBOOKS / f"{verb}.yml", *words_for(example), variables=variables).ended()


def test_databases_that_are_found(tmp_path: Path, postgres_server: PostgresServer, here: dict[str, Any]) -> None:
    hosts = variables_of("discovery")
    server, of_server = postgres_server, hosts["db1.example.net"]
    sites = [SQLiteTarget(tmp_path / "sites" / name / "app.db", name) for name in ("ada", "grace")]
    for site in sites:
        site.path.parent.mkdir(parents=True)
        site.path.touch()
    server.create_role("control", of_server["vault_control_password"])
    server.create_database("control", owner="control")
    server.execute("create table customers (datname text, owner text, active bool)", "control")
    server.execute("grant select on customers to control", "control")
    customers = ("found_shop", "found_forum", "test_found")
    try:
        for name in customers:
            server.create_role(name, of_server["vault_customers_password"])
            server.create_database(name, owner=name)
            server.execute(f"insert into customers values ('{name}', '{name}', true)", "control")
        here |= {"database_server": f"{server.host}:{server.port}", "sites_folder": str(tmp_path / "sites")}
        run("discovery", "migrate", here)
        assert [site.revisions for site in sites] == [[NEWEST], [NEWEST]]
        for name in customers[:2]:
            assert server.execute("select version_num from alembic_version", name) == [[NEWEST]]
        assert server.execute("select to_regclass('alembic_version') is null", customers[2]) == [["t"]]
        assert run("discovery", "migrate", here).changed == 0
    finally:
        for name in (*customers, "control"):
            server.drop_database(name)
            server.execute(f'drop role if exists "{name}"')


def test_mariadb(mariadb_server: MariaDBServer, here: dict[str, Any]) -> None:
    passwords = variables_of("mariadb")["db2.example.net"]["vault_database_passwords"]
    try:
        for name, password in passwords.items():
            mariadb_server.create_user(name, password)
            mariadb_server.create_database(name, owner=name)
        here["migrate_virtualenv"] = str(virtualenv("pymysql"))
        here["database_server"] = f"{mariadb_server.host}:{mariadb_server.port}"
        run("mariadb", "migrate", here)
        for name in passwords:
            assert mariadb_server.execute("select version_num from alembic_version", name) == [[NEWEST]]
        assert run("mariadb", "migrate", here).changed == 0
    finally:
        for name in passwords:
            mariadb_server.drop_database(name)
            mariadb_server.execute(f"DROP USER IF EXISTS '{name}'@'%'")
