"""A real server for the length of a test: its own folder, a private port, nothing of the machine's."""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import quote


def free_port() -> int:
    """A port that no program listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(kw_only=True)
class Server(ABC):
    """Use it in a ``with`` block: started on the way in; stopped and removed on the way out, whatever happened."""

    #: What the name of its folder begins with, and the scheme of its URL.
    prefix: ClassVar[str]
    scheme: ClassVar[str]

    settings: dict[str, str] = field(default_factory=dict)
    # Where the server's log is kept after the server is gone.
    log: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    user: str = ""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    folder: Path = field(init=False, default=Path())

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=self.prefix))
        try:
            self.initialise()
            self.start()
            self.make_superuser()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    def logged(self) -> str:
        """What the server has written into its log."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def url(self, database: str = "", *, user: str = "", password: str = "", scheme: str = "") -> str:
        """A SQLAlchemy URL; without a user, the superuser's."""
        user, password = (user, password) if user else (self.user, self.password)
        credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"{scheme or self.scheme}://{credentials}@{self.host}:{self.port}/{quote(database, safe='')}"

    @abstractmethod
    def initialise(self) -> None:
        """Make its data."""

    @abstractmethod
    def start(self) -> None:
        """Start it; also after it was stopped, on the same port, with the data it had."""

    @abstractmethod
    def execute(self, statement: str, database: str = "") -> list[list[str]]:
        """Run SQL as the superuser through the server's own client, which is none of the code that is tested.

        Returns: the rows as text.
        """

    def make_superuser(self) -> None:
        """Make the user of its URL, where that is not made with its data."""
        return

    @abstractmethod
    def crash(self) -> None:
        """End it at once, if it runs."""

    def _remove(self) -> None:
        try:
            self.crash()
        finally:
            if self.log and self.log_file.exists():
                self.log.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.log_file, self.log)
            shutil.rmtree(self.folder, ignore_errors=True)
