"""Alembic alone, as fast as Python can have it: imported once, a forked process for each database, two at a time.

No lock, no backup, no journal, no verification. This is the floor that nothing built on Alembic gets below.
Call it with the configuration's path and the URLs.
"""

from __future__ import annotations

import gc
import logging.config  # noqa: F401 - what env.py imports is imported once as well
import os
import sys

import alembic.command
import alembic.op
import sqlalchemy as sa
from alembic.config import Config

AT_ONCE = 2


def main(configuration: str, urls: list[str]) -> None:
    """Upgrade every database, and end badly if one of them does."""
    sa.create_engine(urls[0])  # loads its dialect and driver
    gc.freeze()
    waiting, running = list(urls), 0
    while waiting or running:
        while waiting and running < AT_ONCE:
            url = waiting.pop()
            if os.fork() == 0:
                _upgrade(configuration, url)
            running += 1
        _pid, status = os.wait()
        running -= 1
        if status:
            sys.exit("an upgrade failed")


def _upgrade(configuration: str, url: str) -> None:
    code = 1
    try:
        os.environ["DATABASE_URL"] = url
        alembic.command.upgrade(Config(configuration), "head")
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
