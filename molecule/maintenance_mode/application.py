"""An application. It takes a moment to start, and a moment for every answer."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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


if __name__ == "__main__":
    time.sleep(0.5)
    ThreadingHTTPServer(("127.0.0.1", 8000), Answer).serve_forever()
