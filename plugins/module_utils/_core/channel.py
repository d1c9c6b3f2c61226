# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls between two processes of which one is not trusted: JSON over a socket, and nothing that could be executed.

A process that waits for an answer serves the calls of the other side meanwhile, so that each may call back.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .errors import Failed, Refused

#: Bytes. More than any fingerprint; who sends more is not believed.
_LONGEST = 256 << 20
_LENGTH = struct.Struct(">Q")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,80}")

Handlers = Mapping[str, Callable[..., Any]]


class Gone(Exception):
    """The other process has ended, or sent what cannot be read."""


class Answered(Exception):
    """The call was answered already, by a process that was forked for it."""


class Remote(Exception):
    """An exception of the other process: its kind by name, its words, and its SQLSTATE if it has one."""

    def __init__(self, text: str, sqlstate: str = "") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class Channel:
    """One end of a connection between two processes.

    Args:
        connection: the socket.
        handlers: what the other side may call.
        words_of: returns the words and the SQLSTATE of an exception.
    """

    def __init__(
        self, connection: socket.socket, handlers: Handlers, words_of: Callable[[BaseException], tuple[str, str]]
    ) -> None:
        self._connection = connection
        self.handlers = dict(handlers)
        self._words_of = words_of
        #: Exceptions that went to the other side, which come back as what they are.
        self._sent: list[BaseException] = []
        #: Has the thread that calls: several of env.py's may send statements. What it serves meanwhile may call back.
        self._calling = threading.RLock()

    def call(self, name: str, *arguments: Any) -> Any:
        """Have the other side do something, and return what it returns.

        Raises:
            Refused: it did.
            Remote: it raised something else.
            Gone: it has ended.
        """
        with self._calling:
            self._send({"call": name, "arguments": arguments})
            while True:
                message = self._receive()
                if "call" in message:
                    self._handle(message)
                elif "error" in message:
                    raise self.rebuild_error(message["error"])
                else:
                    return message.get("value")

    def serve(self) -> None:
        """Do what the other side calls, until it has ended."""
        while True:
            try:
                self._handle(self._receive())
            except Gone:
                return

    def answer(self, value: Any) -> None:
        """Answer a call in place of the process that got it, which raises ``Answered`` then.

        From then on no other thread of this one calls: it would read what the process gets that lives on.
        """
        self._calling.acquire()
        self._send({"value": value})

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def collect_error_facts(self, error: BaseException) -> dict[str, Any]:
        """Return an exception as data; one that came from the other side goes back as its number."""
        number = getattr(error, "number_there", None)
        if number is not None:
            return {"returns": number}
        self._sent.append(error)
        facts: dict[str, Any] = {"number": len(self._sent) - 1}
        if isinstance(error, Refused):
            return {**facts, "refused": error.as_facts(), "failed": isinstance(error, Failed)}
        text, sqlstate = self._words_of(error)
        return {**facts, "type": type(error).__name__, "text": text, "sqlstate": sqlstate}

    def rebuild_error(self, facts: Any) -> BaseException:
        """Return the exception of such data."""
        if not isinstance(facts, dict):
            raise Gone("it sent what is not an error")
        returns = facts.get("returns")
        if isinstance(returns, int) and 0 <= returns < len(self._sent):
            return self._sent[returns]
        error: BaseException
        if isinstance(facts.get("refused"), dict):
            error = (Failed if facts.get("failed") else Refused).of(facts["refused"])
        else:
            name = str(facts.get("type"))
            kind = type(name, (Remote,), {}) if _NAME.fullmatch(name) else Remote
            error = kind(str(facts.get("text") or ""), str(facts.get("sqlstate") or ""))
        error.number_there = facts.get("number")  # type: ignore[attr-defined]
        return error

    def _handle(self, message: dict[str, Any]) -> None:
        try:
            handler = self.handlers[str(message["call"])]
            answer = {"value": handler(*message.get("arguments", ()))}
        except Gone:
            raise
        except Answered:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for the other side
            answer = {"error": self.collect_error_facts(error)}
        self._send(answer)

    def _send(self, message: dict[str, Any]) -> None:
        content = json.dumps(message).encode()
        try:
            self._connection.sendall(_LENGTH.pack(len(content)) + content)
        except OSError as error:
            raise Gone("it has ended") from error

    def _receive(self) -> dict[str, Any]:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > _LONGEST:
            raise Gone("it sent more than can be")
        try:
            message = json.loads(self._read(length))
        except (ValueError, RecursionError) as error:
            raise Gone("it sent what cannot be read") from error
        if not isinstance(message, dict):
            raise Gone("it sent what cannot be read")
        return message

    def _read(self, length: int) -> bytes:
        content = bytearray()
        while len(content) < length:
            try:
                part = self._connection.recv(min(length - len(content), 1 << 20))
            except OSError as error:
                raise Gone("it has ended") from error
            if not part:
                raise Gone("it has ended")
            content += part
        return bytes(content)
