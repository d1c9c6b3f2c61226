"""Each error says what to type or to do next: the third part of ``Refused`` and ``Failed``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.layers import PLUGINS

_HELD = "the database is held, and its two ways out are printed with the error"
_SENTENCES = "each sentence of what is wrong says what to write"
_NEVER_LAST = "the first attempt replaces it"

#: Errors without a remedy, by file and code, each with the reason.
WITHOUT = {
    ("module_utils/_engines/mariadb/remaking.py", "HALF_WAY"): "half_way() makes another error of it, with a command",
    ("module_utils/_engines/postgresql/attempts.py", "restore-failed"): _NEVER_LAST,
    ("module_utils/_engines/postgresql/scratch.py", "rehearsal-copy-failed"): _NEVER_LAST,
    ("module_utils/_engines/sqlite/in_place.py", "HALF_WAY"): _HELD,
    ("module_utils/_engines/sqlite/write_tracker.py", "downgrade-not-compared"): _HELD,
    ("module_utils/_revert/restore.py", "HALF_WAY"): _HELD,
    ("module_utils/_revert/revert.py", "database-held"): _HELD,
    ("module_utils/_revert/revert.py", "downgrade-changed-rows"): _HELD,
    ("module_utils/_revert/revert.py", "downgrade-failed"): _HELD,
    ("module_utils/_revert/revert.py", "downgrade-not-exact"): _HELD,
    ("module_utils/_revert/revert.py", "revert-failed"): _HELD,
    ("module_utils/_revert/verification.py", "downgrade-not-exact"): _HELD,
    ("module_utils/_verbs/recover.py", "database-held"): _HELD,
    ("module_utils/_verbs/recover.py", "restore-interrupted"): _HELD,
    ("plugin_utils/_schedule/files.py", "schedule-not-possible"): _SENTENCES,
    ("plugin_utils/_windows/options.py", "window-invalid"): _SENTENCES,
}


def errors_without_remedy() -> Iterator[tuple[str, str]]:
    """Yield the file and the code of each error that is made without a remedy, or with an empty one."""
    for path in sorted(PLUGINS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("Refused", "Failed"):
                continue
            named = {each.arg: each.value for each in node.keywords}
            remedy = node.args[2] if len(node.args) > 2 else named.get("remedy")
            is_given = remedy is not None and not (isinstance(remedy, ast.Constant) and not remedy.value)
            if not is_given and not any(isinstance(each, ast.Starred) for each in node.args):
                code = named["code"]
                yield (
                    str(path.relative_to(PLUGINS)),
                    str(code.value) if isinstance(code, ast.Constant) else ast.unparse(code),
                )


def test_each_error_has_a_remedy() -> None:
    assert set(errors_without_remedy()) == set(WITHOUT)
