"""An application and what controls it: start, stop, status, ready. Every answer takes a moment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PID = Path("/srv/shop/application.pid")
ADDRESS = ("127.0.0.1", 8000)


class Answer(BaseHTTPRequestHandler):
    """Say that all is well."""

    def do_GET(self) -> None:
        """Answer after a moment, so that something is under way whenever the application stops."""
        time.sleep(0.05)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"well")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def alive() -> bool:
    """Tell whether it runs; nobody collects it in a container, so what is dead may still be listed."""
    try:
        state = Path(f"/proc/{int(PID.read_text())}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def main(verb: str) -> int:
    """Do one of them."""
    if verb == "serve":
        time.sleep(0.5)  # a start takes its time
        ThreadingHTTPServer(ADDRESS, Answer).serve_forever()
    elif verb == "start":
        PID.write_text(str(subprocess.Popen([sys.executable, __file__, "serve"]).pid))
    elif verb == "stop":
        os.kill(int(PID.read_text()), signal.SIGTERM)
        while alive():
            time.sleep(0.02)
        PID.unlink()
    elif verb == "status":
        return 0 if alive() else 1
    elif verb == "ready":
        socket.create_connection(ADDRESS).close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
