"""What starts under a Python without Alembic, or before every answer, must not wait for its import."""

from __future__ import annotations

import subprocess
import sys

from ansible_collections.hosting.alembic.plugins.plugin_utils._follow.code import CALLED_BY_CODE
from tests.lab import PROJECT

NAMES = [f"{kind}.{path.stem}" for kind in ("modules", "action") for path in (PROJECT / "plugins" / kind).glob("*.py")]
NAMES += [f"module_utils._answers.{name}" for name in sorted(CALLED_BY_CODE)]
# Planning itself does without them where nothing is to be done.
NAMES.append("module_utils._plan.entry")

SCRIPT = """
import sys
from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()
for name in sys.argv[1:]:
    __import__("ansible_collections.hosting.alembic.plugins." + name)
    print(name, *sorted({"alembic", "sqlalchemy"} & set(sys.modules)))
"""


def test_what_answers_in_a_moment_imports_neither_sqlalchemy_nor_alembic() -> None:
    command = [sys.executable, "-c", SCRIPT, *NAMES]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == NAMES
