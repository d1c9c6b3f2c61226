# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recipes for lists of databases give those lists, in an inventory made of the page's own blocks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.lab import PROJECT, ansible
from tests.unit.docs.pages import blocks

PAGE = PROJECT / "docs" / "how_to" / "lists_of_databases.md"
PASSWORDS = {"shop": "p@ss:w/1", "forum": "f", "ada": "a: b", "grace": '"g"', "linus": "{l}"}
CUSTOMERS = ("ada", "grace", "linus")


def entry(name: str) -> dict[str, str]:
    return {"name": name, "url": f"postgresql+psycopg2://{name}@localhost/{name}", "password": PASSWORDS[name]}


def lay_out(folder: Path) -> None:
    """Write the blocks of the page where they belong: in the file that each names, else to a host of its own."""
    parts, own, names, template, file = blocks(PAGE, "yaml")
    for block in (parts, own):
        path = folder / block.partition("\n")[0].removeprefix("# ")
        path.parent.mkdir(parents=True)
        path.write_text(block)
    for host, block in (("names", names), ("template", template), ("file", file)):
        (folder / "host_vars" / f"{host}.yml").write_text(block)
    (folder / "host_vars" / "template.yml").write_text(f"customers: {json.dumps(CUSTOMERS)}\n{template}")
    (jinja,) = blocks(PAGE, "jinja")
    (folder / "templates").mkdir()
    (folder / "templates" / "databases.yml.j2").write_text(jinja)
    (folder / "databases").mkdir()
    (folder / "databases" / "file.json").write_text(json.dumps([entry("ada")]))
    (folder / "group_vars" / "eu.yml").write_text(yaml.safe_dump({"region_databases": [entry("ada")]}))
    vault = {"vault_customers": PASSWORDS, "vault_database_passwords": {"web2.example.net": PASSWORDS}}
    (folder / "group_vars" / "all" / "vault.yml").write_text(yaml.safe_dump(vault).replace("'{l}'", "!unsafe '{l}'"))
    hosts: dict[str, Any] = {"web2.example.net": {}, "names": {}, "template": {}, "file": {}}
    inventory = {"all": {"hosts": hosts, "children": {"eu": {"hosts": {"web2.example.net": {}}}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))


def lists_in(folder: Path) -> dict[str, Any]:
    """Return the databases of each host, as Ansible evaluates them: it writes them into files."""
    words = f"content={{{{ migrate_databases | to_json }}}} dest={folder}/{{{{ inventory_hostname }}}}.json"
    interpreter = f"ansible_python_interpreter={sys.executable}"
    command = [str(ansible.BIN / "ansible"), "-i", str(folder / "hosts.yml"), "all", "-c", "local", "-e", interpreter]
    done = subprocess.run(
        [*command, "-m", "ansible.builtin.copy", "-a", words], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_each_recipe_gives_the_list_that_it_is_for(tmp_path: Path) -> None:
    folder = tmp_path / "inventory"
    lay_out(folder)

    found = lists_in(folder)

    customers = [entry(name) for name in CUSTOMERS]
    assert found == {
        "web2.example.net": [entry("shop"), entry("forum"), entry("ada")],
        "names": customers,
        "template": customers,
        "file": [entry("ada")],
    }
