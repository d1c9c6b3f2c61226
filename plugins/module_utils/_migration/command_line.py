# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments that ``alembic`` gives env.py from its command line, and the revisions they name."""

from __future__ import annotations

import argparse
import functools
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any


@functools.lru_cache(maxsize=1)
def _build_parser() -> argparse.ArgumentParser:
    """Return Alembic's own parser; making it takes longer than all else that a plan does to a small database."""
    from alembic.config import CommandLine  # noqa: PLC0415 - a virtualenv without it is refused elsewhere

    parser: argparse.ArgumentParser = CommandLine(prog="alembic").parser
    return parser


def prepare_command_line() -> None:
    """Make the parser for this process and those that it forks; nothing of a customer's is run."""
    parse_command_options("upgrade", "head", "", ())


def parse_command_options(command: str, revision: str, config: str, x_arguments: tuple[str, ...]) -> argparse.Namespace:
    """Return ``config.cmd_opts`` as Alembic's own parser makes it.

    Args:
        command: upgrade or downgrade.
        revision: what would follow it.
        config: the file behind ``-c``, nothing where Alembic finds it by itself.
        x_arguments: what would follow ``-x``.
    """
    words = ["-c", config] if config else []
    for argument in x_arguments:
        words += [f"-x{argument}"] if argument.startswith("-") else ["-x", argument]
    try:
        with redirect_stderr(StringIO()):
            return _build_parser().parse_args([*words, command, revision])
    except SystemExit:  # a target that only looks like an option; env.py gets what its parser would have set
        return argparse.Namespace(
            config=config or None, name="alembic", x=list(x_arguments) or None, raiseerr=False, quiet=False,
            sql=False, tag=None, revision=revision,
        )  # fmt: skip


def render_config_option(config: Any, folder: Path) -> str:
    """Return what would follow ``-c``: nothing where Alembic finds its file by itself."""
    name = str(config.config_file_name or "")
    return "" if Path(name).name in ("alembic.ini", "") and Path(name).parent == folder else name


def build_context_options(revision: str) -> dict[str, Any]:
    """Return what a command passes on to the environment, where env.py requires it."""
    return {"as_sql": False, "starting_rev": None, "destination_rev": revision, "tag": None}
