# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""The releases of a host: read by modules before anything is imported that a release brings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from .._core.errors import Refused
from .._core.ownership import refuse_if_not_ours
from .._core.paths import Layout, make_private_directory
from .._core.playbook_command import build_playbook_command
from .._journal.events import list_newest_first

_PACKAGES = "lib/python*/site-packages"


def find_virtualenv_python(root: str, release: str) -> Path | None:
    """Return the Python of a release's virtualenv, or None if the release is not there whole.

    A process that calls this is about to execute it, and what the release holds.

    Raises:
        Refused: another user could have put it there.
    """
    refuse_if_not_ours(Path(root), "migrate_root")
    folder = Layout(Path(root)).release(release)
    python = folder / "virtualenv" / "bin" / "python"
    if not (release and (folder / "release.json").is_file() and python.exists()):
        return None
    for path in (folder / "source", folder / "release.json"):
        refuse_if_not_ours(path, "migrate_root")
    refuse_if_not_ours_virtualenv(folder / "virtualenv")
    return python


def refuse_if_not_ours_virtualenv(virtualenv: Path) -> None:
    """Refuse a virtualenv in which another user may write.

    Raises:
        Refused: it is one.
    """
    for path in (virtualenv, virtualenv / "bin" / "python", *sorted(virtualenv.glob(_PACKAGES))):
        refuse_if_not_ours(path, "migrate_virtualenv")


def read_current_release(root: str) -> str:
    """Return the digest of the release that was shipped last, or an empty string."""
    try:
        return Path(os.readlink(Layout(Path(root)).current)).name
    except OSError:
        return ""


def note_current(root: str, release: str, names: Iterable[str]) -> None:
    """Write down that a release is the one of some databases: another application may share their root."""
    layout = Layout(Path(root))
    for name in names:
        if _read_recorded_release(root, name) == release:
            continue
        link = layout.locate_current(name)
        make_private_directory(link.parent)
        beside = link.with_name(f".{link.name}")
        beside.unlink(missing_ok=True)
        beside.symlink_to(release)
        os.replace(beside, link)


def release_of_database(root: str, name: str) -> str:
    """Return the release that a database was last shipped or worked on with.

    A database of which nothing is recorded has the host's current release; where other databases have another one,
    it is unknown whether that is its application's, and the answer is an empty string.
    """
    current = read_current_release(root)
    return _read_recorded_release(root, name) or (current if _list_recorded_releases(root) <= {current} else "")


def build_missing_release_refusal(root: str, release: str, names: Iterable[str]) -> Refused:
    """Return the refusal to work with a release that is not on the host, or that nothing names."""
    ship = f"Ship it: {build_playbook_command('ship')}"
    if release or not read_current_release(root):
        return Refused(
            f"Release {release[:12] or 'current'} is not on this host",
            f"{root} does not hold it whole",
            ship,
            code="release-missing",
        )
    return Refused(
        f"The release of {', '.join(map(repr, names))} is not known",
        f"releases of several applications were shipped to {root}, and none of them for this database",
        ship,
        code="release-unknown",
    )


def release_of_all(root: str, names: Iterable[str]) -> str:
    """Return the release that some databases have in common, else the host's current one."""
    releases = {release_of_database(root, name) for name in names}
    return releases.pop() if len(releases) == 1 else read_current_release(root)


def _read_recorded_release(root: str, name: str) -> str:
    layout = Layout(Path(root))
    found = [
        (moment, release) for moment, release in _list_known(layout, name) if find_virtualenv_python(root, release)
    ]
    return max(found)[1] if found else ""


def _list_recorded_releases(root: str) -> set[str]:
    """Return the releases of all databases of which a root has a record; their folders are named by a key."""
    layout = Layout(Path(root))
    folders = (layout.locate_current("any").parent, layout.journals)
    keys = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
    return {_read_recorded_release(root, key) for key in keys} - {""}


def _list_known(layout: Layout, name: str) -> Iterable[tuple[float, str]]:
    link = layout.locate_current(name)
    if release := _read_target(link):
        yield link.lstat().st_mtime, release
    for _run, events in list_newest_first(layout.locate_journals(name)):
        # A rollback works with the release that it reverts from; a backup may be one of an earlier version, which
        # took the release of another application.
        planned = [event for event in events if event["event"] == "planned" and event["verb"] == "upgrade"]
        if planned and planned[-1].get("release"):
            yield datetime.fromisoformat(planned[-1]["at"]).timestamp(), str(planned[-1]["release"])
            return


def _read_target(link: Path) -> str:
    try:
        return Path(os.readlink(link)).name
    except OSError:
        return ""
