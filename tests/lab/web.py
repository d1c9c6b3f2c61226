"""An application behind nginx, as a hosting server has it, and a client that requests it again and again."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from . import PROJECT
from .server import free_port

EXAMPLE = PROJECT / "docs" / "examples" / "nginx-maintenance.conf"

#: Starts slowly and answers slowly, so that a request is under way whenever it is stopped.
APPLICATION = """
import http.server, sys, time

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.05)
        text = open(sys.argv[2]).read().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        pass

time.sleep(0.3)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""

#: What people have who do not have systemd: start, stop, status, and whether it answers.
CONTROL = """#!/bin/sh
pid={folder}/{name}.pid
case "$1" in
  start) {python} {folder}/{name}.py {port} {folder}/answer & echo $! > $pid ;;
  stop) kill "$(cat $pid)"; while kill -0 "$(cat $pid)" 2>/dev/null; do sleep 0.02; done; rm $pid ;;
  status) test -e $pid && kill -0 "$(cat $pid)" 2>/dev/null ;;
  ready) {python} -c 'import socket; socket.create_connection(("127.0.0.1", {port})).close()' 2>/dev/null ;;
esac
code=$?
echo "$1 {name}" >> {folder}/calls
exit $code
"""


class Application:
    """A process that answers over HTTP, started and stopped by a script."""

    def __init__(self, folder: Path, name: str = "shop", answer: str = "well") -> None:
        self.folder = folder
        self.name = name
        self.port = free_port()
        self.script = folder / f"{name}-ctl"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "answer").write_text(answer)
        (folder / f"{name}.py").write_text(APPLICATION)
        text = CONTROL.format(folder=folder, name=name, port=self.port, python=sys.executable)
        self.script.write_text(text)
        self.script.chmod(0o755)

    @property
    def entry(self) -> dict[str, object]:
        """What the inventory says of it."""
        verbs = ("start", "stop", "status", "ready")
        return {"name": self.name, "timeout": 20, **{verb: [str(self.script), verb] for verb in verbs}}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def runs(self) -> bool:
        return subprocess.run([self.script, "status"], check=False).returncode == 0

    def calls(self) -> list[str]:
        """What was changed in it and in the other databases in the folder, but for reads."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(("start ", "stop "))]

    def start(self) -> None:
        subprocess.run([self.script, "start"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while subprocess.run([self.script, "ready"], check=False).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> None:
        if self.runs:
            subprocess.run([self.script, "stop"], check=True)


class Nginx:
    """nginx with the example of the docs, on a port of its own, in front of an application."""

    def __init__(self, folder: Path, application: Application, flag: Path) -> None:
        self.folder = folder
        self.port = free_port()
        text = EXAMPLE.read_text()
        for old, new in (
            ("listen 80;", f"listen 127.0.0.1:{self.port};"),
            ("/srv/shop/maintenance", str(flag)),
            ("http://127.0.0.1:8000", application.url.rstrip("/")),
        ):
            assert old in text
            text = text.replace(old, new)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        user = "user root;" if os.geteuid() == 0 else ""  # a test's folder is closed to www-data
        (folder / "nginx.conf").write_text(
            f"daemon off;\n{user}\npid {folder}/nginx.pid;\nerror_log {folder}/logs/error.log;\nevents {{}}\n"
            f"http {{\naccess_log {folder}/logs/access.log;\n{text}\n}}\n"
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Nginx:
        environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
        words = ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        self._process = subprocess.Popen(words, env=environment)
        deadline = time.monotonic() + 20
        while requested(self.url)[0] == 0:
            assert self._process.poll() is None, (self.folder / "logs" / "error.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)


def requested(url: str) -> tuple[int, str]:
    """The status and the body, by curl, which is none of the code that is tested; 0 means no answer at all."""
    words = ["curl", "--silent", "--max-time", "10", "--write-out", "\n%{http_code}", url]
    body, _newline, code = subprocess.run(words, capture_output=True, text=True, check=False).stdout.rpartition("\n")
    return int(code or 0), body


@contextmanager
def answering(answer: Callable[[str], int]) -> Iterator[str]:
    """A site that answers each path with a status of the test's; its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer(self.path))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Requester:
    """Requests a URL in a loop and remembers every answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[tuple[float, int, str]] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._query, daemon=True)

    def _query(self) -> None:
        while not self._ends.is_set():
            self.answers.append((time.monotonic(), *requested(self.url)))

    def __enter__(self) -> Requester:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(20)

    def counts(self) -> dict[tuple[int, str], int]:
        return Counter((code, body.strip()) for _at, code, body in self.answers)

    def longest(self, code: int) -> float:
        """Seconds between the first and the last answer of a kind."""
        moments = [at for at, found, _body in self.answers if found == code]
        return moments[-1] - moments[0] if moments else 0.0
