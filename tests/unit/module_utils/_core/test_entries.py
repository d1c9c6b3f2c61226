"""What env.py finds of other databases' secrets, wherever its process can read."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.unit.modules.test_modules import call
from tests.unit.stage import Host, heads

#: Searches all memory of its process, its descriptors and its parent's environment; the pattern itself is not a mark.
SPY = r"""
import os, re
_marks = re.compile(rb"MARK-([a-z])-[0-9a-f]{16}-END")
_found = set()
for _line in open("/proc/self/maps").read().splitlines():
    _range, _rights = _line.split()[:2]
    if _rights.startswith("rw"):
        _begin, _end = (int(_word, 16) for _word in _range.split("-"))
        try:
            with open("/proc/self/mem", "rb", buffering=0) as _memory:
                _memory.seek(_begin)
                _found |= set(_marks.findall(_memory.read(_end - _begin)))
        except (OSError, ValueError, OverflowError):
            continue
for _place in [f"/proc/self/fd/{_number}" for _number in os.listdir("/proc/self/fd")]:
    if os.path.isfile(_place):
        with open(_place, "rb") as _file:
            _found |= set(_marks.findall(_file.read()))
_found |= set(_marks.findall(open(f"/proc/{os.getppid()}/environ", "rb").read()))
with open(os.path.join(@FOLDER@, os.environ["SEEN"]), "a") as _note:
    _note.write(" ".join(sorted(_mark.decode() for _mark in _found)) + "\n")
"""


def mark(letter: str) -> str:
    return f"MARK-{letter}-{secrets.token_hex(8)}-END"


@pytest.mark.parametrize("verbs", [["plan_info"], ["upgrade", "rollback"]])
def test_env_py_sees_the_secrets_of_its_own_database_only_and_no_admin_password(
    host: Host, tmp_path: Path, verbs: list[str]
) -> None:
    release = host.ship("generic")
    env = host.layout.release(release) / "source" / "migrations" / "env.py"
    notes = tmp_path / "notes"
    notes.mkdir()
    env.write_text(SPY.replace("@FOLDER@", repr(str(notes))) + env.read_text())
    databases: list[dict[str, Any]] = [
        {
            "name": letter,
            "url": f"sqlite:///{tmp_path / letter}.db",
            "environment": {"SEEN": letter, "KEY": mark(letter)},
            "x_arguments": [f"key={mark(letter)}"],
            "admin_url": f"postgresql://admin:{mark('y')}@localhost/postgres" if letter == "b" else None,
            "rehearse_url": f"postgresql://admin:{mark('z')}@localhost/postgres" if letter == "c" else None,
            "rehearse_password": mark("w") if letter == "c" else None,
        }
        for letter in "abc"
    ]
    for letter in "abc":
        (tmp_path / f"{letter}.db").touch()

    for number, verb in enumerate(verbs):
        options: dict[str, Any] = {} if verb == "plan_info" else {"run": f"r{number}", "follow": 60}
        answer = call(verb, root=str(host.root), databases=databases, workers=1, **options)
        assert not answer.get("failed"), answer
        assert "MARK-" not in json.dumps(answer)

    for letter in "abc":
        seen = set((notes / letter).read_text().split())
        assert seen == {letter}
        if verbs != ["plan_info"]:
            assert heads(tmp_path / f"{letter}.db") == []


def test_a_command_gets_nothing_of_our_python(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    host.ship("generic")
    (tmp_path / "a.db").touch()
    seen = tmp_path / "seen"
    command = ["sh", "-c", f"tr '\\0' '\\n' < /proc/$$/environ >> {seen}; touch {{path}}/dump"]

    answer = call(
        "backup",
        root=str(host.root),
        databases=[{"name": "a", "url": f"sqlite:///{tmp_path / 'a.db'}"}],
        run="r1",
        follow=60,
        backup_command=command,
        backup_check_command=["true"],
        restore_command=["true"],
    )

    assert not answer.get("failed"), answer
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert "HOSTING_ALEMBIC_DATABASE" in names
    assert not {name for name in names if name.startswith(("PYTHON", "ANSIBLE"))} - set(os.environ)
