# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting a schedule on this machine, and taking it off again: files, systemd's timers, crontabs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed, Refused

from . import files as scheduling
from .files import Places, Schedule

_SYSTEMD_RUNS = Path("/run/systemd/system")
_EXECUTABLE, _READABLE = 0o700, 0o644


@dataclass(frozen=True)
class File:
    """One file that a schedule consists of; without a text it must not exist."""

    path: Path
    text: str = ""
    mode: int = _READABLE

    @property
    def now(self) -> str:
        """Return what is in it now."""
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def is_different(self) -> bool:
        """Return whether it is not as planned."""
        if not self.text:
            return self.path.exists()
        return not self.path.exists() or self.now != self.text or self.path.stat().st_mode & 0o777 != self.mode

    def write(self) -> None:
        """Write or remove it, at once and never half."""
        if not self.text:
            self.path.unlink(missing_ok=True)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, self.mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(self.text)
        beside.chmod(self.mode)
        beside.rename(self.path)


@dataclass
class Machine:
    """This machine, or a folder in its place: then files are written there, and nothing is switched on."""

    folder: str = ""
    kind: str = "auto"
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)

    def __post_init__(self) -> None:
        if self.kind == "auto":
            cron = "cron" if self.is_root else "crontab"
            self.kind = "systemd" if _SYSTEMD_RUNS.is_dir() else cron

    def locate_files(self, name: str, log: str = "") -> Places:
        """Return where the files of a schedule lie."""
        home = Path.home()
        if self.folder:
            folders = [Path(self.folder).absolute()] * 4
        elif self.is_root:
            folders = [
                Path("/usr/local/lib/hosting-alembic"),
                Path("/var/log/hosting-alembic"),
                Path("/etc/systemd/system"),
                Path("/etc/cron.d"),
            ]
        else:
            folders = [
                home / ".local/lib/hosting-alembic",
                home / ".local/state/hosting-alembic",
                home / ".config/systemd/user",
                home,  # unused: who is not root has a crontab
            ]
        scripts, logs, units, cron = folders
        path = Path(log).expanduser().absolute() if log else logs / f"{name}.log"
        return Places(scripts / f"{name}.sh", path, logs / f"{name}.lock", units, cron)

    def put(self, schedule: Schedule, log: str, *, pretend: bool) -> list[File]:
        """Put a schedule on the machine and return the files that were not as planned.

        Raises:
            Refused: something that it needs is not there.
            Failed: systemd or cron did not take it.
        """
        schedule.check()
        if not shutil.which("flock"):
            raise Refused(
                "There is no flock on this machine",
                "it keeps runs from overlapping",
                "Install util-linux",
                code="schedule-not-possible",
            )
        if not self.folder:
            self._check_kind()
        places = self.locate_files(schedule.name, log)
        text = scheduling.render_script(schedule, places)
        wanted = [File(places.script, text, _EXECUTABLE), *self._list_files(schedule, places)]
        # What another kind has left would run it twice.
        stale = [file for file in self._list_all(schedule.name) if file.path not in {one.path for one in wanted}]
        return self._make(schedule.name, [*stale, *wanted], self._render_line(schedule, places), pretend=pretend)

    def _check_kind(self) -> None:
        programs = {"systemd": "systemctl", "cron": "cron", "crontab": "crontab"}
        program = programs[self.kind]
        # A daemon of cron has more than one name; its folder has one.
        there = Path("/etc/cron.d").is_dir() if self.kind == "cron" else shutil.which(program)
        if not there or (self.kind == "cron" and not self.is_root):
            raise Refused(
                f"This machine cannot run a schedule of the kind {self.kind}",
                f"{program} is not there, or not for this user",
                "Install it, or choose another migrate_schedule_kind",
                code="schedule-not-possible",
            )

    def take_off(self, name: str, *, pretend: bool) -> list[File]:
        """Remove a schedule, whichever kind it is, and return the files that were there. The log stays."""
        files = [*self._list_all(name), File(self.locate_files(name).script)]
        return self._make(name, files, "", pretend=pretend)

    def _make(self, name: str, files: list[File], line: str, *, pretend: bool) -> list[File]:
        different = [file for file in files if file.is_different()]
        timers = [file for file in different if file.path.suffix in (".timer", ".service")]
        if not pretend:
            if not self.folder:
                self._switch_off([file for file in timers if not file.text and file.path.suffix == ".timer"])
            for file in different:
                file.write()
            if not self.folder:
                self._switch_on(timers, [file for file in files if file.text and file.path.suffix == ".timer"])
        crontab = self._change_crontab(name, line, pretend=pretend)
        return different + ([crontab] if crontab else [])

    def _list_files(self, schedule: Schedule, places: Places) -> Iterator[File]:
        if self.kind == "systemd":
            yield File(places.units / f"{schedule.name}.service", scheduling.render_service(schedule, places))
            yield File(places.units / f"{schedule.name}.timer", scheduling.render_timer(schedule))
        elif self.kind == "cron":
            yield File(places.cron / schedule.name, scheduling.render_cron_file(schedule, places))
        elif self.folder:
            text = scheduling.render_crontab("", schedule.name, scheduling.render_cron_line(schedule, places, ""))
            yield File(places.cron / f"{schedule.name}.crontab", text)

    def _render_line(self, schedule: Schedule, places: Places) -> str:
        return scheduling.render_cron_line(schedule, places, "") if self.kind == "crontab" else ""

    def _list_all(self, name: str) -> Iterator[File]:
        """Yield what any kind of schedule of this name would consist of, as files that must not exist."""
        places = self.locate_files(name)
        yield File(places.units / f"{name}.timer")
        yield File(places.units / f"{name}.service")
        if self.folder or self.is_root:
            yield File(places.cron / name)
        if self.folder:
            yield File(places.cron / f"{name}.crontab")

    def _switch_off(self, timers: list[File]) -> None:
        if timers and _SYSTEMD_RUNS.is_dir():
            self._run_systemctl("disable", "--now", *(file.path.name for file in timers))

    def _switch_on(self, changed: list[File], timers: list[File]) -> None:
        if changed and _SYSTEMD_RUNS.is_dir():
            self._run_systemctl("daemon-reload")
        if timers:
            self._run_systemctl("enable", "--now", *(file.path.name for file in timers))
            if any(file in changed for file in timers):
                self._run_systemctl("restart", *(file.path.name for file in timers))

    def _run_systemctl(self, *words: str) -> None:
        _run("systemctl", *([] if self.is_root else ["--user"]), *words)

    def _change_crontab(self, name: str, line: str, *, pretend: bool) -> File | None:
        """Change the user's crontab where that is needed, and return it as a file."""
        if self.folder or not shutil.which("crontab"):
            return None
        # A user without a crontab is an exit code of its own.
        now = subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False).stdout
        new = scheduling.render_crontab(now, name, line)
        if new == now:
            return None
        if not pretend:
            _run("crontab", "-", text=new)
        return File(Path("crontab"), new)


def _run(*words: str, text: str = "") -> None:
    try:
        subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        raise Failed(
            f"{' '.join(words)} failed", why.strip(), "Correct it and run the playbook again", code="schedule-failed"
        ) from error
