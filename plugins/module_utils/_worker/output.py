# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The output of a worker's processes, cleaned of secrets line by line before it is written.

One process does so for all of them. It ends when no process can write any more: what was written last, before a process
died, is there. It runs nothing of a customer's, and gets the name of a database before env.py runs in its process.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable
from pathlib import Path

from .._core.entries import ENTRIES
from .._core.processes import redirect_descriptors

#: Bytes; a longer line is cleaned in pieces.
_LONGEST_LINE = 1 << 20
_CHUNK = 1 << 16
_LONGEST_NAME = 1 << 12

Clean = Callable[[str], str]


class CleanedOutput:
    """Writes what processes print into files."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def start(self, clean_for: Callable[[str], Clean]) -> None:
        """Fork the process that cleans.

        Args:
            clean_for: returns what cleans the output of the database of a name.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            try:
                os.setsid()  # an end of another process and its children must not end this one
                redirect_descriptors(theirs.fileno(), ENTRIES.descriptor)
                _serve(theirs, clean_for)
            finally:
                os._exit(0)
        theirs.close()
        self._socket = ours

    def take(self, path: Path, name: str, clean_for: Callable[[str], Clean]) -> None:
        """Send standard output and error of this process to a file, and read nothing. A process calls this once.

        Args:
            path: the file.
            name: of the database.
            clean_for: as for ``start``, where the process that cleans has ended.
        """
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        source, into = os.pipe()
        try:
            self._send(name, source, target)
        except OSError:
            self.start(clean_for)
            self._send(name, source, target)
        self.close()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, number in ((nothing, 0), (into, 1), (into, 2)):
            os.dup2(descriptor, number)
        for descriptor in (target, source, into, nothing):
            os.close(descriptor)

    def close(self) -> None:
        """Have this process send no other name."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, name: str, source: int, target: int) -> None:
        if self._socket is None:
            raise BrokenPipeError
        socket.send_fds(self._socket, [name.encode()], [source, target])


class _Stream:
    """The output of one process."""

    def __init__(self, source: int, target: int, clean: Clean) -> None:
        self.source = source
        self._target = target
        self._clean = clean
        self._rest = b""

    def read(self) -> bool:
        """Write the lines that are whole, and return whether there may be more."""
        content = os.read(self.source, _CHUNK)
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._write(line + b"\n")
        if self._rest and (not content or len(self._rest) > _LONGEST_LINE):
            self._write(self._rest)
            self._rest = b""
        return bool(content)

    def _write(self, line: bytes) -> None:
        cleaned = self._clean(line.decode(errors="replace")).encode()
        try:
            while cleaned:
                cleaned = cleaned[os.write(self._target, cleaned) :]
        except OSError:  # a full disk: the program that prints must not fail for that
            return

    def close(self) -> None:
        """Close both ends."""
        os.close(self.source)
        os.close(self._target)


def _serve(control: socket.socket, clean_for: Callable[[str], Clean]) -> None:
    """Clean until no process can print any more, nor send a name."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ, None)
    while selector.get_map():
        for key, _events in selector.select():
            stream: _Stream | None = key.data
            if stream is not None and not stream.read():
                selector.unregister(stream.source)
                stream.close()
            elif stream is None:
                name, descriptors, _flags, _address = socket.recv_fds(control, _LONGEST_NAME, 2)
                if not name:
                    selector.unregister(control)
                    control.close()
                    continue
                source, target = descriptors
                stream = _Stream(source, target, clean_for(name.decode()))
                selector.register(source, selectors.EVENT_READ, stream)
