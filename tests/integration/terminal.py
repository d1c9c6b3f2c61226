"""A person at a terminal: a playbook that has one of its own, and what is typed there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from pathlib import Path
from types import TracebackType

from tests.lab import PROJECT, ansible


def _controlling() -> None:
    """Make standard input the terminal of this session, as a login does: only then is a process in its foreground."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A playbook at a terminal of its own."""

    def __init__(self, playbook: Path, *words: str, inventory: Path) -> None:
        self._ours, theirs = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        self._process = subprocess.Popen(
            [str(ansible.BIN / "ansible-playbook"), str(playbook), "--inventory", str(inventory), *words],
            cwd=PROJECT,
            env={**kept, "PATH": f"{ansible.BIN}:{kept.get('PATH', '')}", "ANSIBLE_NOCOLOR": "1", "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_controlling,  # noqa: PLW1509 - it takes no lock
        )
        os.close(theirs)
        self.screen = ""

    def wait_for(self, pattern: str, seconds: float = 120) -> None:
        """Read until something is on the screen."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, " ".join(self.screen.split())):
            assert self._read(deadline - time.monotonic()), f"no {pattern!r} on the screen:\n{self.screen}"

    def answer(self, text: str) -> None:
        """Type something at a question, and the key that ends a line."""
        self._type(f"{text}\r".encode())

    def interrupt(self) -> None:
        """Press Ctrl and C at a question."""
        self._type(b"\x03")

    def _type(self, keys: bytes, seconds: float = 30) -> None:
        """Type until it is taken: what is typed before a question is wholly there is thrown away."""
        deadline = time.monotonic() + seconds
        self._wait_for_mode(prompts=True, until=deadline)
        while True:
            os.write(self._ours, keys)
            if self._wait_for_mode(prompts=False, until=time.monotonic() + 1):
                return
            assert time.monotonic() < deadline, f"nobody has taken {keys!r}:\n{self.screen}"

    def _wait_for_mode(self, *, prompts: bool, until: float) -> bool:
        """Wait until keys are read one by one, as a question does, or by lines, as before and after it."""
        while bool(termios.tcgetattr(self._ours)[3] & termios.ICANON) is prompts:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def end(self, code: int = 0, seconds: float = 120) -> str:
        """Read to the end, assert the exit code, return all that was on the screen."""
        deadline = time.monotonic() + seconds
        while self._read(deadline - time.monotonic()):
            pass
        assert self._process.wait(timeout=max(deadline - time.monotonic(), 1)) == code, self.screen
        return self.screen

    def _read(self, seconds: float) -> bool:
        """Read what comes next; return whether there was anything."""
        if seconds <= 0 or not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            found = os.read(self._ours, 65536)
        except OSError:  # how Linux reports that the other end is closed
            return False
        self.screen += found.decode(errors="replace")
        return bool(found)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._ours)
