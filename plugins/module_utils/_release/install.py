# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases and virtualenvs on a host: whole or not at all, shared, verified, pruned."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .._core.errors import Failed, Refused
from .._core.ownership import refuse_if_not_ours
from .._core.paths import INI, Layout, lock_file, make_private_directory, write_durably
from .._core.records import LaterFormat, read_record, write_record
from .._journal.events import find_net_outcome, format_now, list_newest_first
from .digest import hash_all
from .lookup import refuse_if_not_ours_virtualenv
from .pip_arguments import (
    ARGUMENTS,
    PACKAGES,
    hide_secrets,
    remove_left_secrets,
    split_arguments,
    split_packages,
)

_RECORD = "release.json"
_COMPLETE = "complete.json"

#: What a release without a configuration of its own gets.
PLAIN_INI = """\
# Written by hosting.alembic for a migrations directory without an alembic.ini.
[alembic]

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(levelname)s %(name)s %(message)s
"""


@dataclass(frozen=True)
class Installation:
    """The parts of a release that are to be installed, as the controller packed it."""

    release: str
    content: str
    requirements: str
    packages: tuple[str, ...]
    pip_arguments: tuple[str, ...]
    wheelhouse: str
    python: str
    virtualenv: str
    requirements_file: str = "requirements.txt"
    #: Whether a part of what is installed is the source itself, whose content its requirements do not show.
    from_source: bool = False

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Installation:
        """Make an installation from the options of a module, whose names it shares."""
        known = {field.name: options[field.name] for field in fields(cls)}
        for name in ("packages", "pip_arguments"):
            known[name] = tuple(known[name])
        return cls(**known)


class Installer:
    """Install releases below one root.

    Args:
        layout: where to install.
        installation: what to install.
        lender: another root, whose virtualenv is used if it has the one that is wanted.
    """

    def __init__(self, layout: Layout, installation: Installation, lender: Layout | None = None) -> None:
        self.layout = layout
        self.installation = installation
        self.lender = lender
        self.place = layout.release(installation.release)

    def needs(self) -> list[str]:
        """Return what the host has to be sent: ``archive``, ``wheelhouse``, both or nothing."""
        needed = [] if self._is_whole() else ["archive"]
        if self.installation.wheelhouse and not self._is_virtualenv_complete() and not self._locate_wheels().is_dir():
            needed.append("wheelhouse")
        return needed

    def is_installed(self) -> bool:
        """Return whether the release is there, with a virtualenv that works."""
        return self._is_whole() and (self.place / "virtualenv" / "bin" / "python").exists()

    def is_current(self) -> bool:
        """Return whether the link ``current`` names this release."""
        link = self.layout.current
        return link.is_symlink() and os.readlink(link) == self.installation.release

    def install(self, archive: str, wheelhouse: str) -> None:
        """Unpack, make the virtualenv, and let the release appear at once.

        Args:
            archive: path of the packed source on this host; it may be empty if the release is whole already.
            wheelhouse: path of the packed wheels on this host, or empty.

        Raises:
            Failed: what arrived is not what was sent, or the virtualenv cannot be made.
            Refused: the Python or the virtualenv that was named is not there.
        """
        for folder in (self.layout.root, self.layout.releases, self.layout.virtualenvs):
            make_private_directory(folder)
            refuse_if_not_ours(folder, "migrate_root")
        with lock_file(self.layout.releases / ".lock"):
            remove_left_secrets(self.layout.virtualenvs)
            if wheelhouse:
                self._unpack_wheels(wheelhouse)
            if not self._is_whole():
                self._unpack(archive)
            self._link_virtualenv(self._prepare_virtualenv())

    def make_current(self) -> None:
        """Point the link ``current`` at this release, atomically."""
        beside = self.layout.releases / ".current"
        beside.unlink(missing_ok=True)
        beside.symlink_to(self.installation.release)
        os.replace(beside, self.layout.current)

    def _is_whole(self) -> bool:
        return (self.place / _RECORD).is_file()

    def _unpack(self, archive: str) -> None:
        beside = self.layout.releases / f".{self.installation.release}.partial"
        shutil.rmtree(beside, ignore_errors=True)
        make_private_directory(beside)
        try:
            _extract(archive, beside / "source")
            found, files = hash_all(beside / "source")
            if found != self.installation.content:
                raise Failed(
                    f"Release {self.installation.release[:12]} did not arrive whole",
                    f"its content is {found[:12]} and should be {self.installation.content[:12]}",
                    "Run again; if it happens again, check the host's disk",
                    code="release-damaged",
                )
            _open_folders(beside / "source")
            write_durably(beside / INI, PLAIN_INI)
            os.chmod(beside / INI, 0o644)
            record = {**asdict(self.installation), "shipped": format_now(), "files": files}
            del record["pip_arguments"], record["requirements"]  # an index's address may hold a secret
            write_record(beside / _RECORD, record, indent=1)
            shutil.rmtree(self.place, ignore_errors=True)
            os.rename(beside, self.place)
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            raise Failed(
                f"Release {self.installation.release[:12]} could not be unpacked",
                str(error),
                "Free disk space on the host and run again",
                code="release-not-unpacked",
            ) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _link_virtualenv(self, virtualenv: Path) -> None:
        link = self.place / "virtualenv"
        beside = self.place / ".virtualenv"
        target = os.path.relpath(virtualenv, self.place) if virtualenv.parent == self.layout.virtualenvs else virtualenv
        if link.is_symlink() and os.readlink(link) == str(target):
            return
        beside.unlink(missing_ok=True)
        beside.symlink_to(target)
        os.replace(beside, link)

    def _prepare_virtualenv(self) -> Path:
        if self.installation.virtualenv:
            given = Path(self.installation.virtualenv)
            if not (given / "bin" / "python").exists():
                raise Refused(
                    f"There is no virtualenv at {given}",
                    "bin/python is missing",
                    "Correct migrate_virtualenv",
                    code="virtualenv-missing",
                )
            refuse_if_not_ours_virtualenv(given)
            return given
        name = self._name_virtualenv()
        if self.lender and _is_complete(self.lender.virtualenvs / name):
            return self.lender.virtualenvs / name
        place = self.layout.virtualenvs / name
        if not _is_complete(place):
            self._build(place)
        return place

    def _name_virtualenv(self) -> str:
        """Name a virtualenv by what is installed into it and by the Python that runs it.

        What is installed from the source may lead into the release's own folder, so it belongs to this release alone.
        """
        wanted = self.installation
        facts = [
            wanted.requirements,
            wanted.packages,
            wanted.pip_arguments,
            wanted.wheelhouse,
            self._read_python_version(),
        ]
        facts += [wanted.release] if wanted.from_source else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _read_python_version(self) -> str:
        try:
            command = [self.installation.python, "-c", "import platform; print(platform.python_version())"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            raise Refused(
                f"There is no Python called {self.installation.python!r} on the host",
                str(error),
                "Set migrate_python",
                code="python-missing",
            ) from error

    def _is_virtualenv_complete(self) -> bool:
        return bool(self.installation.virtualenv) or _is_complete(self.layout.virtualenvs / self._name_virtualenv())

    def _build(self, place: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        if self.installation.wheelhouse:
            pip += ["--no-index", f"--find-links={self._locate_wheels()}"]
        plain, variables, lines = split_arguments(self.installation.pip_arguments)
        packages, secret_packages = split_packages(self.installation.packages)
        lists = {ARGUMENTS: lines, PACKAGES: secret_packages}
        with hide_secrets(place, variables, lists) as (variables, files):
            self._fill(place, [*pip, *plain, *files[ARGUMENTS]], [*packages, *files[PACKAGES]], variables)

    def _fill(self, place: Path, pip: list[str], packages: list[str], variables: dict[str, str]) -> None:
        try:
            _run([self.installation.python, "-m", "venv", str(place)], "The virtualenv could not be made")
            if self.installation.requirements:
                # Apart from the packages: a file with hashes would require them of every package.
                _run(
                    [*pip, "--requirement", self.installation.requirements_file],
                    "The requirements could not be installed",
                    self.place / "source",
                    variables,
                )
            if packages:
                command = [*pip, *packages]
                _run(command, "The packages could not be installed", self.place / "source", variables)
            write_record(place / _COMPLETE, {"built": format_now(), "python": self._read_python_version()})
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    def _locate_wheels(self) -> Path:
        return self.layout.wheelhouses / self.installation.wheelhouse

    def _unpack_wheels(self, archive: str) -> None:
        beside = make_private_directory(self.layout.wheelhouses) / f".{self.installation.wheelhouse}.partial"
        shutil.rmtree(beside, ignore_errors=True)
        _extract(archive, beside)
        os.rename(beside, self._locate_wheels())


def prune(layout: Layout, keep: int) -> list[str]:
    """Remove old releases and what only they used; never the current one nor one that a revert needs.

    Returns:
        The names of the releases that were removed.
    """
    with lock_file(layout.releases / ".lock"):  # another controller's virtualenv is linked only once it is complete
        remove_left_secrets(layout.virtualenvs)
        return _prune(layout, keep)


def _prune(layout: Layout, keep: int) -> list[str]:
    folders = [path.parent for path in layout.releases.glob(f"*/{_RECORD}") if not path.parent.is_symlink()]
    try:
        records = {folder.name: read_record(folder / _RECORD) for folder in folders}
        needed_for_revert = _find_needed_for_revert(layout)
    except LaterFormat:
        return []  # what that version needs is not known
    newest = sorted(records, key=lambda name: records[name]["shipped"], reverse=True)
    current = {os.readlink(layout.current)} if layout.current.is_symlink() else set()
    current |= {os.readlink(link) for link in layout.releases.glob(".of/*") if link.is_symlink()}
    needed = set(newest[:keep]) | needed_for_revert | current
    removed = [name for name in newest if name not in needed]
    for name in removed:
        shutil.rmtree(layout.release(name))
    linked = {os.path.realpath(layout.release(name) / "virtualenv") for name in records if name not in removed}
    for virtualenv in layout.virtualenvs.glob("*"):
        if os.path.realpath(virtualenv) not in linked:
            shutil.rmtree(virtualenv)
    wheels = {record["wheelhouse"] for name, record in records.items() if name not in removed}
    for wheelhouse in layout.wheelhouses.glob("*"):
        if wheelhouse.name not in wheels:
            shutil.rmtree(wheelhouse)
    return removed


def _find_needed_for_revert(layout: Layout) -> set[str]:
    """Return the releases of the last run that changed each database."""
    releases = set()
    for folder in layout.journals.glob("*"):
        for _run_id, events in list_newest_first(folder):
            if find_net_outcome(events):
                releases |= {event["release"] for event in events if event["event"] == "planned"}
                break
    return releases


def _is_complete(virtualenv: Path) -> bool:
    return (virtualenv / _COMPLETE).is_file() and (virtualenv / "bin" / "python").exists()


def _extract(archive: str, target: Path) -> None:
    target.mkdir(mode=0o700)
    with tarfile.open(archive) as tar:
        # The controller packed it, but it crossed a network: nothing may land outside of the target.
        if hasattr(tarfile, "data_filter"):
            tar.extractall(target, filter="data")
        else:
            for member in tar.getmembers():
                if os.path.isabs(member.name) or ".." in Path(member.name).parts:
                    raise Failed(
                        f"The archive holds {member.name!r}, which leads out of the release",
                        remedy="Ship it from a controller that is trusted; nothing was unpacked",
                        code="release-damaged",
                    )
            tar.extractall(target)  # noqa: S202 - checked above


def _open_folders(source: Path) -> None:
    """Let the users of the source read all of it, whatever mask of modes this user has."""
    for folder, _folders, _files in os.walk(source):
        if folder != str(source):
            os.chmod(folder, 0o755)  # noqa: S103 - the folder above all of them is closed to others


def _run(command: list[str], what: str, folder: Path | None = None, variables: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        umask=0o022,  # for migrate_run_as; the folders above are closed to all but those who are let in
    )
    if done.returncode:
        words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Failed(
            what,
            " / ".join(words[-3:]) or f"exit code {done.returncode}",
            "For a host without a package index set migrate_wheelhouse; for venv install python3-venv",
            code="installation-failed",
        )


def collect_facts(installer: Installer) -> dict[str, Any]:
    """Return what a result says of an installed release."""
    link = installer.place / "virtualenv"
    return {
        "release": installer.installation.release,
        "path": str(installer.place),
        "virtualenv": os.path.realpath(link) if link.is_symlink() else "",
    }
