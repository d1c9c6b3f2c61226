"""Proxies before a MariaDB server: one as MaxScale and ProxySQL are, and one that loses its connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .mariadb import MariaDBServer
from .server import free_port


@contextmanager
def proxy(server: MariaDBServer) -> Iterator[int]:
    """Something between a client and the server that numbers sessions itself; yields its port."""
    listening = socket.create_server(("127.0.0.1", free_port()))

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _address = listening.accept()
                there = socket.create_connection((server.host, server.port))
                hello = there.recv(65536)
                end = hello.index(b"\0", 5) + 1  # behind the version
                client.sendall(hello[:end] + (4711).to_bytes(4, "little") + hello[end + 4 :])
                for pair in ((client, there), (there, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


class Cut:
    """A proxy that is lost, with all of its connections, when a client sends some words, until it is repaired."""

    def __init__(self, server: MariaDBServer) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", free_port()))
        self.port = self._listening.getsockname()[1]
        #: In lower case; nothing where all pass.
        self.words = b""
        self.is_lost = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def repair(self) -> None:
        """Let all pass again."""
        self.words, self.is_lost = b"", False

    def close(self) -> None:
        """End it."""
        self._listening.close()
        self._lose()

    def _lose(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listening.accept()
                if self.is_lost:
                    client.close()
                    continue
                there = socket.create_connection((self._server.host, self._server.port))
                self._open += [client, there]
                threading.Thread(target=self._copy, args=(client, there, True), daemon=True).start()
                threading.Thread(target=self._copy, args=(there, client, False), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, is_sent: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_sent and self.words and self.words in data.lower():
                    self.is_lost = True
                    self._lose()
                    return
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
