# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services of an application: units of systemd, or whatever a command starts and another one stops."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from time import monotonic, sleep
from typing import Any

from .._core.errors import Failed, Refused, describe_unknown_keys

_COMMANDS = ("start", "stop", "status")
_RUNNING = ("active", "reloading", "activating")
_POLL_INTERVAL = 0.2  # seconds
_MOST_WORDS = 500  # characters of a command's output


@dataclass(frozen=True)
class Service:
    """One service. Without commands of its own it is a unit of systemd."""

    name: str
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    #: Ends with 0 while the service runs.
    status: tuple[str, ...] = ()
    #: Ends with 0 once the service answers.
    ready: tuple[str, ...] = ()
    #: Seconds that each step may take.
    timeout: float = 60

    @classmethod
    def of(cls, entry: Any) -> Service:
        """Make a service from an entry of the inventory or of the state.

        Raises:
            Refused: it is none.
        """
        facts = {"name": entry} if isinstance(entry, str) else entry
        unknown = describe_unknown_keys(facts, (each.name for each in fields(cls)))
        if not isinstance(facts, dict) or not isinstance(facts.get("name"), str) or not facts["name"].strip():
            shown = sorted(map(str, entry)) if isinstance(entry, dict) else f"A {type(entry).__name__}"
            why = "; ".join(filter(None, ["it has no name", unknown]))
            raise Refused(f"{shown} is not a service", why, _EXAMPLE, code="service-invalid")
        what = f"The service {facts['name']!r} cannot be used"
        if unknown:
            raise Refused(what, unknown, _EXAMPLE, code="service-invalid")
        for key in (*_COMMANDS, "ready"):
            words = facts.get(key, [])
            if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
                raise Refused(what, f"{key} is not a list of words", _EXAMPLE, code="service-invalid")
        given = [key for key in _COMMANDS if facts.get(key)]
        if given and len(given) < len(_COMMANDS):
            raise Refused(
                what,
                f"{', '.join(given)} without {', '.join(set(_COMMANDS) - set(given))}",
                _EXAMPLE,
                code="service-invalid",
            )
        timeout = facts.get("timeout", cls.timeout)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
            raise Refused(what, f"its timeout {timeout!r} is not a number of seconds", _EXAMPLE, code="service-invalid")
        commands = {key: tuple(facts.get(key, ())) for key in (*_COMMANDS, "ready")}
        return cls(facts["name"], timeout=float(timeout), **commands)

    def as_facts(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def is_running(self) -> bool:
        """Return whether it runs.

        Raises:
            Refused: that is unknown.
        """
        if self.status:
            return self._call(self.status)[0] == 0
        question = ("systemctl", "show", "--property=LoadState", "--property=ActiveState", "--", self.name)
        code, output = self._call(question)
        states = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        if code or "ActiveState" not in states:
            raise Refused(f"systemd does not say whether {self.name} runs", output, _EXAMPLE, code="service-unknown")
        if states.get("LoadState") != "loaded":
            raise Refused(
                f"There is no unit {self.name} on this host",
                f"systemd calls it {states.get('LoadState')}",
                "Correct its name in migrate_services, or install it",
                code="service-unknown",
            )
        return states["ActiveState"] in _RUNNING

    def halt(self) -> None:
        """Stop it, and wait until it has stopped.

        Raises:
            Failed: it has not.
        """
        self._do("stop", self.stop or ("systemctl", "stop", "--", self.name))
        self._wait(lambda: not self.is_running(), "still runs")

    def launch(self) -> None:
        """Start it, and wait until it runs and answers.

        Raises:
            Failed: it does not.
        """
        if not self.is_running():
            self._do("start", self.start or ("systemctl", "start", "--", self.name))
        self._wait(self.is_running, "does not run")
        if self.ready:
            self._wait(lambda: self._call(self.ready)[0] == 0, f"does not answer {self.ready[0]}")

    def _do(self, doing: str, command: Sequence[str]) -> None:
        code, output = self._call(command)
        if code:
            why = f"{command[0]} ended with exit code {code}: {output or 'it printed nothing'}"
            raise Failed(
                f"The service {self.name} could not be {_DONE[doing]}",
                why,
                f"Find out why, and {doing} it",
                code="service-failed",
            )

    def _wait(self, is_so: Any, otherwise: str) -> None:
        deadline = monotonic() + self.timeout
        while not is_so():
            if monotonic() > deadline:
                raise Failed(
                    f"The service {self.name} {otherwise}",
                    f"{self.timeout:.0f} s were not enough",
                    "See what its journal says, or raise its timeout in migrate_services",
                    code="service-failed",
                )
            sleep(_POLL_INTERVAL)

    def _call(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a command. What it starts may keep its output open, so that goes into a file and not into a pipe."""
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                what = f"The service {self.name} cannot be read"
                raise Failed(what, f"{command[0]}: {error.strerror}", _EXAMPLE, code="service-failed") from error
            try:
                code = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                words = f"{command[0]} took longer than {self.timeout:.0f} s"
                raise Failed(
                    f"The service {self.name} does not follow",
                    words,
                    f"Type `systemctl status {self.name}` on the host, or raise the timeout of the service",
                    code="service-failed",
                ) from None
            output.seek(0)
            return code, output.read().decode(errors="replace").strip()[-_MOST_WORDS:]


_DONE = {"start": "started", "stop": "stopped"}

_EXAMPLE = (
    "Name a unit of systemd, for example shop.service; or write {name: shop, start: [/opt/shop/ctl, start],"
    " stop: [/opt/shop/ctl, stop], status: [/opt/shop/ctl, status]}"
)
