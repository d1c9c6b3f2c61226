# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code that a module works with, on the host: Ansible does not send it with each call.

The host keeps it below ``migrate_root``, in an archive that is named by its digest. A host that does not have it
answers so, and the action plugin sends it. Nothing is imported from a place that another user could write to.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from .._core.argument_specs import Spec
from .._core.errors import Failed, Refused
from .._core.ownership import refuse_if_not_ours
from .._core.packed_code import LOCK, compile_beside, is_intact, locate_compiled
from .._core.paths import Layout, hash_file, lock_file, make_private_directory, write_bytes_durably
from .._journal.worker_lock import is_any_worker_alive
from .result import answer_errors, build_module, leave

_UTILS = __name__.rpartition("._module.")[0]
_DIGEST = re.compile(r"[0-9a-f]{64}")

#: How many versions of our code are kept: several controllers may be of different ones.
KEPT = 3

#: Bytes. With less, nothing is kept: an archive and what two Pythons compile of it take some 8 MB.
_LEFT_FREE = 64 << 20


def answer_by_code(name: str, spec: Spec, *, makes_root: bool = False) -> None:
    """Be a module: find the code that it works with, and have it answer.

    Args:
        name: the module, and the file of ``_answers`` that answers for it.
        spec: its options.
        makes_root: whether the code is kept where ``root`` is not there yet.
    """
    module = build_module(spec)
    with answer_errors(module):
        archive, kept = (None, "") if _is_there(f"{_UTILS}._answers.{name}") else use_code(module, makes_root)
        import_module(f"{_UTILS}._module.answer").answer(name, module, archive, kept)


def _is_there(entry: str) -> bool:
    """Return whether the code can be imported as it is: where the module was not sent, but a collection is there."""
    try:
        return importlib.util.find_spec(entry) is not None
    except ModuleNotFoundError:
        return False


def use_code(module: AnsibleModule, makes_root: bool = False) -> tuple[Path, str]:
    """Have the code of this module's caller be imported from now on; where the host does not have it, answer so.

    Returns:
        The archive as it was sent, and how it is kept, as ``answer`` takes them.

    Raises:
        Refused: the caller named none, or what is in its place is not ours.
        Failed: what was sent is not what was to be sent.
    """
    digest, sent = module.params["code_digest"], module.params["code_archive"]
    if not _DIGEST.fullmatch(digest):
        raise Refused(
            f"The module {module._name} has no code to work with",
            "its action plugin sends it, and did not call it",
            f"Call it in a task of its own, by its full name: hosting.alembic.{module._name.rpartition('.')[2]}",
            code="code-not-sent",
        )
    layout = Layout(Path(module.params["root"]))
    place = layout.code / f"{digest}.zip"
    is_kept = is_whole(place, digest)
    if not is_kept:
        if not sent:
            leave(module, changed=False, needs_code=True)
        content = read_sent(Path(sent), digest)
        if makes_root and not module.check_mode:
            with suppress(Refused):  # the module refuses it for itself
                make_private_directory(layout.root)
        is_kept = not module.check_mode and keep_code(layout, digest, content)
    if not is_kept:
        _import_from(Path(sent))
        return Path(sent), ""
    for path in layout.code.glob(f"{digest}.*.zip"):  # also what the virtualenv's Python will find
        is_file_of_ours(path)
    compiled = locate_compiled(place)
    is_compiled = is_intact(compiled) or (not module.check_mode and compile_beside(place))
    _import_from(compiled if is_compiled else place)
    return place, "read_only" if module.check_mode else "writable"


def is_whole(place: Path, digest: str) -> bool:
    """Return whether an archive is in its place with the content that its name says.

    Raises:
        Refused: as ``is_file_of_ours``.
    """
    try:
        return is_file_of_ours(place) and hash_file(place) == digest
    except OSError:  # it cannot be read
        return False


def is_file_of_ours(place: Path) -> bool:
    """Return whether a file is there that no other user could have written.

    Raises:
        Refused: a link or a folder is there, or it is another user's.
    """
    try:
        mode = os.lstat(place).st_mode
    except OSError:  # not there, or in a folder that cannot be read or is none
        return False
    if not stat.S_ISREG(mode):
        raise Refused(
            f"{place} is not a file",
            "a link or a folder is in its place",
            "Remove it and run again",
            code="directory-not-usable",
        )
    refuse_if_not_ours(place, "migrate_root")
    return True


def read_sent(archive: Path, digest: str) -> bytes:
    """Return the archive that was sent.

    Raises:
        Failed: it is not what was to be sent.
    """
    content = archive.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise Failed(
            "The code of hosting.alembic did not arrive whole",
            f"its digest is {found[:12]} and should be {digest[:12]}",
            "Run again; if it happens again, check the host's disk",
            code="code-damaged",
        )
    return content


def keep_code(layout: Layout, digest: str, content: bytes) -> bool:
    """Keep code that was sent, remove what is old, and return whether that could be done.

    Where nothing can be written, the module works with what was sent.

    Raises:
        Refused: a link or a file is in the place of the folder, or it is another user's.
    """
    if not (layout.root.is_dir() and os.access(layout.root, os.W_OK | os.X_OK)):
        return False
    if shutil.disk_usage(layout.root).free < _LEFT_FREE:  # journals need it more
        return False
    try:
        make_private_directory(layout.code)
    except Refused:
        if os.path.lexists(layout.code):
            raise
        return False  # as where a disk is full
    refuse_if_not_ours(layout.code, "migrate_root")
    try:
        with lock_file(layout.code / LOCK):
            write_bytes_durably(layout.code / f"{digest}.zip", content)
            _prune(layout, digest)
    except OSError:
        return False
    return True


def _prune(layout: Layout, digest: str) -> None:
    """Remove all but the newest archives, and what a process that ended has left; the lock is held.

    A worker has imported all that it needs. While one is alive, nothing is removed all the same.
    """
    for path in layout.code.glob(".*.zip.*"):
        path.unlink()
    if is_any_worker_alive(layout):
        return
    archives = [path for path in layout.code.glob("*.zip") if _DIGEST.fullmatch(path.stem)]
    archives.sort(key=lambda path: (path.stem == digest, path.stat().st_mtime), reverse=True)
    for old in archives[KEPT:]:
        for path in layout.code.glob(f"{old.stem}*.zip"):
            path.unlink()


def _import_from(archive: Path) -> None:
    """Have all of our code be imported from an archive, also what was imported before: it may be of another version."""
    for name in [name for name in sys.modules if name.startswith(f"{_UTILS}.")]:
        del sys.modules[name]
    sys.modules[_UTILS].__path__ = [f"{archive}/{_UTILS.replace('.', '/')}"]
