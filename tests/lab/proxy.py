"""A proxy before a MariaDB server, as MaxScale and ProxySQL are: it numbers its clients itself."""

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
