# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A long list of a module's answer as one compressed text.

Ansible encodes each key and each value of an answer as an object of its own before it joins them, and passes each list
through code in Python at both ends. For thousands of databases that is most of what the host's process needs in memory.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any

#: Of zlib: the fastest, since most of such a list repeats itself.
_LEVEL = 1


def pack_list(items: Iterable[Any]) -> str:
    """Return a list of plain data as text."""
    packer = zlib.compressobj(_LEVEL)
    parts = []
    between = b"["
    for item in items:
        parts.append(packer.compress(between + json.dumps(item).encode()))
        between = b","
    parts.append(packer.compress(b"]" if between == b"," else b"[]"))
    return base64.b64encode(b"".join([*parts, packer.flush()])).decode()


#: Values of another machine's list; each takes some 80 bytes once it is read.
_MOST_VALUES = 2_000_000


def unpack_list(text: Any, longest: int) -> list[Any]:
    """Return the list of such a text, which another machine has sent.

    Args:
        text: from ``pack_list``, or anything.
        longest: bytes that it may have as JSON.

    Raises:
        ValueError: it is something else, or is longer.
    """
    if not isinstance(text, str):
        raise ValueError("is not text")  # noqa: TRY004 - what was sent is a value
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(base64.b64decode(text, validate=True), longest + 1)
    except zlib.error as error:
        raise ValueError(f"cannot be unpacked: {error}") from error
    if len(content) > longest:
        raise ValueError(f"is longer than {longest} bytes")
    if sum(content.count(mark) for mark in (b"{", b"[", b",")) > _MOST_VALUES:
        raise ValueError(f"has more than {_MOST_VALUES} values")
    try:
        items = json.loads(content)
    except RecursionError as error:
        raise ValueError("cannot be read") from error
    if not unpacker.eof or not isinstance(items, list):
        raise ValueError("is not a list")
    return items
