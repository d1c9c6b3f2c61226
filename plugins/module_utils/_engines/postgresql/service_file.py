# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secret options of libpq that no environment variable carries, and no command line may: a service file has them.

The file has no name: the client program inherits its descriptor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .libpq_options import SECRETS, build_libpq_options

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

SERVICE = "hosting_alembic"
#: Has the file's text until the client program is started; it never gets there.
_TEXT = "HOSTING_ALEMBIC_SERVICE_TEXT"


def select_service_options(url: URL) -> dict[str, str]:
    """Return the secret options of a URL that a service file has to carry."""
    options = build_libpq_options(url)
    return {key: value for key, value in options.items() if key in SECRETS - {"password"} and "\n" not in value}


def with_service(url: URL, variables: dict[str, str]) -> dict[str, str]:
    """Return variables for ``hand_over_variables``, with the secret options of a URL."""
    options = select_service_options(url)
    if not options:
        return variables
    lines = [f"[{SERVICE}]", *(f"{key}={value}" for key, value in options.items()), ""]
    return {**variables, _TEXT: "\n".join(lines)}


@contextmanager
def hand_over_variables(variables: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield what ``Popen`` is given so that a client program has its variables and its service file."""
    plain = {name: value for name, value in variables.items() if name != _TEXT}
    if _TEXT not in variables:
        yield {"env": plain}
        return
    with tempfile.TemporaryFile() as file:
        file.write(variables[_TEXT].encode())
        file.flush()
        descriptor = file.fileno()
        # Opened anew by the process that reads it, so that each begins at its start.
        yield {"env": {**plain, "PGSERVICEFILE": f"/dev/fd/{descriptor}"}, "pass_fds": (descriptor,)}
