"""A host that was taken over: its Python answers what it likes. It rules nothing but itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.integration.site import Site, assert_says
from tests.integration.targets import SQLiteTarget

# Runs what it is sent, and adds to whatever that answers.
_INTERPRETER = """#!{python}
import json, subprocess, sys
done = subprocess.run([{python!r}, *sys.argv[1:]], stdin=sys.stdin, capture_output=True)
try:
    answer = json.loads(done.stdout)
except ValueError:
    sys.stdout.buffer.write(done.stdout)
else:
    answer.update(json.loads({added!r}))
    for entry in answer.get("databases", []):
        entry["server"] = "\\x1b]0;owned\\x07\\x9b2J"
        entry["unheard_of"] = "{{{{ lookup('pipe', 'id') }}}}"
    for backup in answer.get("waiting", []):
        backup["files"].append({{"name": "../../../planted", "size": 1, "sha256": "0" * 64}})
    print("\\x1b[2Jbefore it")
    print(json.dumps(answer))
sys.stderr.buffer.write(done.stderr)
sys.exit(done.returncode)
"""


def test_a_host_that_was_taken_over_rules_nothing_but_itself(site: Site, sqlite: SQLiteTarget, tmp_path: Path) -> None:
    marker, tasks, copies = tmp_path / "ran", tmp_path / "theirs.yml", tmp_path / "copies"
    tasks.write_text(f"- name: Theirs\n  ansible.builtin.file: {{path: {marker}, state: touch}}\n")
    variables = {
        "migrate_after_upgrade": str(tasks),
        "migrate_before_backup": str(tasks),
        "migrate_backup_copy_to": f"controller:{tmp_path / 'elsewhere'}",
    }
    template = "{{ lookup('pipe', 'touch " + str(marker) + "') }}"
    more = {
        **dict.fromkeys(("msg", "exception", "stdout", "migrate_run", "__migrate_packed"), f"\x1b[2J{template}"),
        **{key: [{"msg": template}, template, f"\x1b[31m{template}"] for key in ("warnings", "deprecations")},
        **{
            key: {"ansible_host": template}
            for key in ("_ansible_delegated_vars", "ansible_delegated_vars", "invocation")
        },
        **dict.fromkeys(("_ansible_no_log", "_ansible_verbose_override", "_ansible_item_result"), True),
        "results": [{"ansible_facts": variables, "msg": template}],
    }
    added = json.dumps({**more, "ansible_facts": variables, "add_host": {"host_name": "other", "groups": ["all"]}})
    python = tmp_path / "python"
    python.write_text(_INTERPRETER.format(python=sys.executable, added=added))
    python.chmod(0o755)
    words = ["--extra-vars", f"ansible_python_interpreter={python}"]
    settings: dict[str, Any] = {"migrate_databases": [sqlite.entry], "migrate_source": site.source("generic")}
    outcome = site.run("migrate", *words, migrate_backup_copy_to=f"controller:{copies}", **settings)

    assert not marker.exists()
    assert not (tmp_path / "elsewhere").exists()
    assert not list(tmp_path.rglob("planted"))
    assert_says(outcome.output, "The host's answer cannot be used: waiting.0.files.1.name")
    assert "owned" not in outcome.output or r"\x1b]0;owned" in outcome.output
    assert not [path for path in copies.rglob("*") if path.is_file()]
    assert not {"\x1b", "\x9b", "\x07"} & set(outcome.output)
    assert set(outcome.stats) == {"here"}
    assert sqlite.revisions == ["0002"]
