# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process that has read no secret, and starts those that run env.py.

A forked process holds what its parent held. So the process that works on a database starts this one before it reads the
database's entry, whose admin password is not for env.py.
"""

from __future__ import annotations

import os
import signal
import socket
import traceback

from .._core.entries import ENTRIES
from .._core.kernel import end_with_parent
from .._core.processes import redirect_descriptors


class Spawner:
    """Starts processes for env.py."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    @property
    def is_started(self) -> bool:
        """Return whether the process is there that starts the others."""
        return self._socket is not None

    def start(self) -> None:
        """Fork the process that starts the others, while this one holds nothing that they are not to have."""
        if self._socket is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            try:
                ours.close()
                ENTRIES.close()
                _serve(theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._socket = ours

    def start_process(self) -> socket.socket:
        """Start a process that waits for the name of its database, and return the connection to it."""
        self.start()
        ours, theirs = socket.socketpair()
        if self._socket is not None:  # start() has set it
            socket.send_fds(self._socket, [b"start"], [theirs.fileno(), 1, 2])
        theirs.close()
        return ours


SPAWNER = Spawner()


def _serve(connection: socket.socket) -> None:
    """Start a process for each message, with the descriptors that came with it."""
    end_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    redirect_descriptors(connection.fileno())
    while True:
        content, descriptors, _flags, _address = socket.recv_fds(connection, 16, 3)
        if not content:
            return
        if os.fork() == 0:
            connection.close()
            _become_env_process(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _become_env_process(descriptors: list[int]) -> None:
    from .env_process import serve_parent  # noqa: PLC0415 - it imports Alembic

    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        to_parent, output, errors = descriptors
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.close(output)
        os.close(errors)
        os.set_inheritable(to_parent, False)
        serve_parent(socket.socket(fileno=to_parent))
    except BaseException:  # noqa: BLE001 - the process that waits for this process hears that it has ended
        traceback.print_exc()
    finally:
        os._exit(0)
