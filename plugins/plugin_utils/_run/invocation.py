# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One invocation of ansible-playbook: its id, and a folder that all of its hosts share on the controller."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible import constants

from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import lock_file


def locate_folder() -> Path:
    """Return the run's folder. Ansible makes its parent when it starts, shares it with every fork and removes it."""
    path = Path(constants.DEFAULT_LOCAL_TMP) / "hosting.alembic"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


@contextmanager
def hold_lock(name: str) -> Iterator[None]:
    """Let one fork at a time do something."""
    with lock_file(locate_folder() / f"{name}.lock"):
        yield


def run_id(wanted: str, host: str, begun_before: int = 0) -> str:
    """Return the run's id: the one wanted, else one made by the first host.

    A playbook may apply the role more than once, to other databases or to another target. Each time is a run: what
    a host requires again gets a number behind it, the same one on every host.

    Args:
        wanted: the run that a person names, or nothing.
        host: the calling host.
        begun_before: how often the host has begun that run, in earlier invocations: its journals know the id.
    """
    with hold_lock("run"):
        number = (read_shared("runs", host) or 0) + 1
        share_facts("runs", host, number)
        number += begun_before
        named = (wanted or _make_id()) + (f"-{number}" if number > 1 else "")
        share_facts("named", host, named)
        return named


def run_of(host: str) -> str:
    """Return the id of the run that a host is in; what names none has that of this invocation."""
    with hold_lock("run"):
        return str(read_shared("named", host) or _make_id())


def _make_id() -> str:
    """Return the id of this invocation, which the first host makes."""
    path = locate_folder() / "run"
    if not path.exists():
        path.write_text(f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
    return path.read_text()


def make_once(name: str, make: Callable[[], Any]) -> Any:
    """Return what the first host has made."""
    with hold_lock(name):
        path = locate_folder() / name
        if not path.exists():
            path.write_text(json.dumps(make()))
        return json.loads(path.read_text())


def find_first_with(text: str, host: str) -> str:
    """Return the first host that had a text; for the first one that is itself."""
    return str(make_once(f"first-{hashlib.sha256(text.encode()).hexdigest()}", lambda: host))


def find_first_before(cause: str, host: str) -> str:
    """Return the host that has printed a cause before this one, or nothing."""
    first = find_first_with(f"cause {cause}", host)
    return "" if first == host else first


def share_facts(kind: str, host: str, facts: Any) -> None:
    """Leave facts of a host for the other hosts of the run. Never secrets."""
    path = locate_folder() / kind
    path.mkdir(exist_ok=True)
    beside = path / f".{_build_file_name(host)}"
    beside.write_text(json.dumps(facts))
    beside.rename(path / _build_file_name(host))


def read_shared(kind: str, host: str) -> Any:
    """Return what a host has left, or None if it has not yet."""
    try:
        return json.loads((locate_folder() / kind / _build_file_name(host)).read_text())
    except FileNotFoundError:
        return None


def take_shared(kind: str, host: str) -> Any:
    """Return what a host has left, and take it away, or None if there is nothing."""
    facts = read_shared(kind, host)
    (locate_folder() / kind / _build_file_name(host)).unlink(missing_ok=True)
    return facts


def _build_file_name(host: str) -> str:
    return hashlib.sha256(host.encode()).hexdigest()
