# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a schedule, as text: the script that runs, and what has systemd or cron run it."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused

from .._windows.guard import AT_START, CLOSED
from .._windows.options import list_window_problems, read_windows
from .._windows.window import DAYS, Window
from .at_night import find_prompting, find_vault_without_password
from .given import Given, list_secret_arguments

KINDS = ("systemd", "cron", "crontab")

#: What the script ends with when a run of an earlier start still goes on.
OVERLAPS = 75

_NAME = re.compile(r"[a-z][a-z0-9-]*")  # cron reads no file with a dot in its name
_EVERY_QUARTER = (0, 15, 30, 45)  # all time zones differ by a multiple of this


@dataclass(frozen=True)
class Places:
    """The paths of a schedule's files."""

    script: Path
    log: Path
    lock: Path
    units: Path
    cron: Path


@dataclass(frozen=True)
class Schedule:
    """The command of a schedule, and what is done with its result."""

    name: str
    playbook: str
    project: str
    windows: list[Any] = field(default_factory=list)
    inventory: list[str] = field(default_factory=list)
    vault_password_file: str = ""
    arguments: list[str] = field(default_factory=list)
    on_failure: str = ""
    mail: str = ""
    #: What ansible-playbook needs in its environment.
    environment: dict[str, str] = field(default_factory=dict)
    #: What this command's own line gave, which a scheduled run is given too.
    given: Given = field(default_factory=Given)

    def check(self) -> None:
        """Refuse what a run at night would only find out at night.

        Raises:
            Refused: something is wrong or missing.
        """
        wrong = list(self._list_problems())
        if wrong:
            raise Refused("The run cannot be put on the schedule", " ".join(wrong), code="schedule-not-possible")

    def _list_problems(self) -> Iterator[str]:
        if not _NAME.fullmatch(self.name):
            yield f"migrate_schedule_name {self.name!r} must be small letters, digits and hyphens."
        yield from list_window_problems(self.windows)
        if not self.windows:
            yield "migrate_windows is empty, and a schedule needs to know when."
        if not Path(self.project).is_dir():
            yield f"migrate_schedule_project {self.project!r} is not a directory."
        if "/" in self.playbook and not Path(self.project, self.playbook).is_file():
            yield f"migrate_schedule_playbook {self.playbook!r} is not there."
        for source in self.inventory:
            if "," not in source and not Path(self.project, source).exists():
                yield f"migrate_schedule_inventory {source!r} is not there."
        yield from self._list_secrets()
        if "\n" in self.mail:
            yield "migrate_schedule_mail must be one line."

    def _list_secrets(self) -> Iterator[str]:
        """Yield what a person would have to type."""
        if self.vault_password_file and not Path(self.project, self.vault_password_file).is_file():
            yield f"migrate_schedule_vault_password_file {self.vault_password_file!r} is not there."
        encrypted = find_vault_without_password(self.project, self.inventory, self.vault_password_file, self.words)
        if encrypted:
            why = "is encrypted and its password cannot be typed at night"
            yield f"{encrypted} {why}: set migrate_schedule_vault_password_file."
        prompting = find_prompting(self.words)
        if prompting:
            yield f"{prompting} prompts at a terminal, and a scheduled run has none: name a file instead."
        yield from self.given.refused
        yield from list_secret_arguments(self.arguments)

    @property
    def words(self) -> list[str]:
        """Return the arguments of ansible-playbook that this command's line and the variables give."""
        return [*self.given.words, *self.arguments]

    @property
    def command(self) -> list[str]:
        """Return what is run."""
        program = Path(sys.executable).with_name("ansible-playbook")
        words = [str(program) if program.exists() else "ansible-playbook", self.playbook]
        for source in self.inventory:
            words += ["--inventory", source]
        if self.vault_password_file:
            words += ["--vault-password-file", self.vault_password_file]
        return words + self.words


def render_script(schedule: Schedule, places: Places) -> str:
    """Return the script that systemd or cron starts, and that a person can start too."""
    # …/ansible_collections/hosting/alembic/plugins/plugin_utils/_schedule/files.py
    collections = str(Path(__file__).parents[6])
    guard = f"from {__package__.rpartition('.')[0]}._windows.guard import main; main()"
    values = {
        "log": str(places.log),
        "lock": str(places.lock),
        "project": schedule.project,
        "name": schedule.name,
        "mail_to": schedule.mail,
        "on_failure": schedule.on_failure,
        "python": sys.executable,
        "guard": guard,
        "collections": collections,
    }
    assignments = "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    return _SCRIPT.format(
        assignments=assignments,
        programs=shlex.quote(str(Path(sys.executable).parent)),
        environment="".join(
            f"{name}={shlex.quote(value)}\nexport {name}\n" for name, value in schedule.environment.items()
        ),
        command=shlex.join(schedule.command),
        windows=json.dumps(schedule.windows, default=str, indent=2),
        closed=CLOSED,
        overlaps=OVERLAPS,
    )


def render_service(schedule: Schedule, places: Places) -> str:
    """Return the unit that runs the script."""
    path = str(places.script).replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"# {_WRITTEN}\n[Unit]\nDescription=Migrate databases in their maintenance window ({schedule.name})\n"
        "Wants=network-online.target\nAfter=network-online.target\n\n"
        f'[Service]\nType=oneshot\nExecStart="{path}"\n'
    )


def render_timer(schedule: Schedule) -> str:
    """Return the unit that says when."""
    times = "".join(f"OnCalendar={format_calendar(window)}\n" for window in read_windows(schedule.windows))
    return (
        f"# {_WRITTEN}\n[Unit]\nDescription=Maintenance windows of {schedule.name}\n\n"
        # A window that was missed is not made up for outside of it.
        f"[Timer]\n{times}AccuracySec=1s\nPersistent=false\n\n[Install]\nWantedBy=timers.target\n"
    )


def format_calendar(window: Window) -> str:
    """Return a window's start as systemd writes it."""
    days = ",".join(DAYS[day].capitalize() for day in sorted(window.days))
    every = "" if len(window.days) == len(DAYS) else f"{days} "
    return f"{every}*-*-* {window.start:%H:%M:%S} {window.zone.key}"


def render_cron_line(schedule: Schedule, places: Places, user: str) -> str:
    """Return the line of a crontab. Cron knows no time zones: the script runs often, and knows when to run."""
    starts = {window.start.minute for window in read_windows(schedule.windows)}
    minutes = sorted({(start + quarter) % 60 for start in starts for quarter in _EVERY_QUARTER})
    command = shlex.quote(str(places.script)).replace("%", "\\%")
    return f"{','.join(map(str, minutes))} * * * * {f'{user} ' if user else ''}{command} {AT_START}\n"


def render_cron_file(schedule: Schedule, places: Places) -> str:
    """Return a file of cron.d."""
    return f"# {_WRITTEN}\n{render_cron_line(schedule, places, 'root')}"


def render_crontab(crontab: str, name: str, line: str) -> str:
    """Return a user's crontab with a line of ours in place of the one that was there, or without if it is empty."""
    begin, end = f"# begin {name} of hosting.alembic", f"# end {name} of hosting.alembic"
    block = re.compile(rf"^{re.escape(begin)}\n.*?^{re.escape(end)}\n", re.DOTALL | re.MULTILINE)
    rest = block.sub("", crontab)
    if rest and not rest.endswith("\n"):
        rest += "\n"
    return f"{rest}{begin}\n{line}{end}\n" if line else rest


_WRITTEN = "Written by hosting.alembic, playbooks/schedule.yml. playbooks/unschedule.yml removes it."
_SCRIPT = rf"""#!/bin/sh
# {_WRITTEN}
{{assignments}}
PATH={{programs}}:$PATH
# Ansible refuses to work in another encoding, and neither systemd nor cron sets one.
LC_ALL=C.UTF-8
export PATH LC_ALL
{{environment}}umask 077

write_log() {{{{ printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >>"$log"; }}}}

# The log of this run goes to the command, or into the mail.
notify() {{{{
    MIGRATE_EXIT_CODE=$1 MIGRATE_LOG=$log MIGRATE_SCHEDULE=$name
    export MIGRATE_EXIT_CODE MIGRATE_LOG MIGRATE_SCHEDULE
    subject="$name on $(uname -n) failed with $1"
    if [ -n "$on_failure" ]; then
        log_of_run | sh -c "$on_failure" >>"$log" 2>&1 || write_log "migrate_schedule_on_failure failed with $?"
    fi
    [ -n "$mail_to" ] || return 0
    if command -v mail >/dev/null; then
        log_of_run | mail -s "$subject" "$mail_to" >>"$log" 2>&1
    else
        {{{{ printf 'To: %s\nSubject: %s\n\n' "$mail_to" "$subject"; log_of_run; }}}} | sendmail -t >>"$log" 2>&1
    fi || write_log "no mail could be sent to $mail_to"
}}}}
log_of_run() {{{{ tail -c +"$((begun + 1))" "$log" | tail -n 200; }}}}

mkdir -p "$(dirname "$log")" "$(dirname "$lock")" || exit 1
begun=$(cat "$log" 2>/dev/null | wc -c)

next=$(PYTHONPATH=$collections "$python" -c "$guard" "$@" 2>&1 <<'WINDOWS'
{{windows}}
WINDOWS
)
case $? in
    0) ;;
    {{closed}}) [ $# -gt 0 ] || write_log "no window is open; $next"
       exit 0 ;;
    *) write_log "the windows cannot be read: $next"
       notify 1
       exit 1 ;;
esac

exec 9>>"$lock" || exit 1
if ! flock --nonblock 9; then
    write_log "an earlier run still goes on; this one was not begun"
    notify {{overlaps}}
    exit {{overlaps}}
fi

write_log "begins"
# The lock is this script's own: what ssh leaves running in the background would keep it.
cd "$project" && {{command}} </dev/null >>"$log" 2>&1 9>&-
code=$?
write_log "ended with $code"
[ $code -eq 0 ] || notify $code
exit $code
"""
