# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of long work: call, print progress, call again; a lost connection is made again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleAction, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hosting.alembic.plugins.module_utils._backup.copy_place import CONTROLLER
from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import CRASHED, Refused, describe_cause
from ansible_collections.hosting.alembic.plugins.module_utils._core.playbook_command import build_playbook_command
from ansible_collections.hosting.alembic.plugins.module_utils._core.printable import escape_unprintable
from ansible_collections.hosting.alembic.plugins.module_utils._core.results import Result

from .._report.causes import list_short_lines
from .._run import results, selected
from .._run.command_line import find_invocation
from .._run.failing import keep_whole
from .._run.screen import show
from . import code
from .fetch_backups import fetch
from .judge import answer_for, judge_answer, with_message
from .progress import Progress
from .reducing import escape_controls, reduce_answer, reduce_interpreter
from .strategy import refuse_mitogen

display = Display()

#: What a host may need to be sent, and the option that names it.
ARCHIVES = {"archive": "archive", "wheelhouse": "wheelhouse_archive"}

#: Seconds, where nothing was begun that could be lost: enough for a server that restarts; ssh tries again by itself.
_PATIENCE_OF_READERS = 10

#: Options that name sources of databases.
_SOURCES = ("discover", "found_by")
#: Modules whose answer has each database that was selected.
_ANSWER_FOR_ALL = ("backup", "backups_info", "plan_info", "prune", "status_info")

_PAUSES = (1, 2, 4, 8, 15)  # seconds between attempts to reach a host again

#: How often a call that crashed is repeated while a worker is followed: a host that is short of processes or of memory
#: may have some a moment later, and the worker goes on meanwhile.
_MOST_CRASHES = 4

#: After a minute of silence ssh gives a host up. By itself it waits for as long as TCP hopes, which may be for ever.
_KEEP_ALIVE = "-o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_WAYS_TO_GIVE_SSH_OPTIONS = ("ssh_args", "ssh_common_args", "ssh_extra_args")


class FollowingAction(ActionBase):  # type: ignore[misc]
    """Run the module of the same name until its work has ended."""

    _supports_check_mode = True
    _supports_async = False

    #: Whether a report follows that says all of a failure; then its task says what each cause is and no more.
    FAILS_SHORT = False
    #: Whether the module is called until its work has ended; else it is called once.
    FOLLOWS = True

    def run(self, tmp: Any = None, task_vars: Result | None = None) -> Result:
        """Return the module's last answer; a failure is kept whole for those who judge the run, and printed once."""
        facts = task_vars or {}
        try:
            refuse_mitogen(type(self))
            self.select(facts)
            super().run(tmp, task_vars)
            answer = self.perform(facts)
            self.note_found(answer, facts)
        except AnsibleAction:  # Ansible's own way to skip and to end
            raise
        except Refused as refusal:
            answer = judge_answer(self._task.action, {"failed": True, **answer_for(refusal)})
        except Exception as error:  # noqa: BLE001 - what it is, the result says
            failed = {"failed": True, "msg": f"{self._task.action} failed: {describe_cause(error)}"}
            answer = judge_answer(self._task.action, failed)
        host = facts.get("inventory_hostname", "")
        if answer.get("failed"):
            kind = results.choose_kind(self._task.action, self._task.args)
            raise keep_whole(kind, host, answer, _shorten_message(answer) if self.FAILS_SHORT else "")
        results.keep(self._task.action, host, answer, self._task.args)
        return answer

    def perform(self, task_vars: Result) -> Result:
        """Return the module's last answer; an action that does more than to call its module does it here."""
        call_module = self.follow if self.FOLLOWS else self.call
        return call_module(self._task.args, task_vars)

    def select(self, task_vars: Result) -> None:
        """Leave which databases this host lists for the other ones, and have the module know what it alone can have.

        Raises:
            Refused: what is selected is of no host.
        """
        arguments = self._task.args
        sources = [arguments[name] for name in _SOURCES if name in arguments]
        if not arguments.get("select") or not sources:
            return
        host = task_vars.get("inventory_hostname", "")
        databases = arguments.get("databases") or arguments.get("names") or []
        selected.note_listed(host, arguments["select"], databases, has_sources=any(sources))
        required = selected.refuse_unmatched(host, task_vars.get("ansible_play_hosts_all") or [host])
        if "discover" in arguments:
            self._task.args = {**arguments, "select_required": required}

    def note_found(self, answer: Result, task_vars: Result) -> None:
        """Leave which databases the sources of this host have, where the answer has all that were selected of them."""
        verb = self._task.action.rpartition(".")[2]
        if answer.get("failed") or not self._task.args.get("select") or verb not in _ANSWER_FOR_ALL:
            return
        found = [name for source in answer.get("found", []) for name in source["names"]]
        names = [entry["name"] for entry in answer.get("databases", [])]
        selected.note_found(task_vars.get("inventory_hostname", ""), [*found, *names])

    def follow(self, arguments: Result, task_vars: Result) -> Result:
        """Call the module until it has finished, and return its last answer.

        A connection that is lost and does not come back is a failed result with ``lost: true``, not an unreachable
        host: neither rescue nor handlers run for those.
        """
        host = task_vars.get("inventory_hostname", "")
        going_on: Result = {"cursor": {}, "attach": False}
        progress = self.build_progress(task_vars)
        crashes = 0
        while True:
            answer = self.call({**arguments, **going_on}, task_vars)
            if going_on["attach"] and answer.get("code") == CRASHED and crashes < _MOST_CRASHES:
                display.warning(f"{host}: {answer['msg']} The work goes on there, and is followed again.")
                time.sleep(_PAUSES[crashes])
                crashes += 1
                continue
            crashes = 0
            if answer.get("finished", True):
                for name in ("lines", "cursor", "finished"):
                    answer.pop(name, None)
                return self._with_copies({**answer, "progress": progress.printed}, arguments, task_vars)
            lines = progress.list_lines(answer.get("databases", []), _count(answer["cursor"]), answer["lines"])
            show([f"  {line}" for line in lines])
            going_on = {"cursor": answer["cursor"], "attach": True}

    def build_progress(self, task_vars: Result) -> Progress:
        """Return what prints how far this host is."""
        hosts = task_vars.get("ansible_play_hosts_all") or []
        host = task_vars.get("inventory_hostname", "")
        return Progress(
            self._task.action, host, hosts=len(hosts), expected=self.count_databases(), shows_all=display.verbosity > 0
        )

    def count_databases(self) -> int:
        """Return how many databases of all hosts are to be worked on, as far as it is known."""
        return 0

    def _with_copies(self, answer: Result, arguments: Result, task_vars: Result) -> Result:
        """Fetch the backups that belong onto the controller; a copy that fails is reported and fails nothing else."""
        wanted = str(arguments.get("backup_copy_to") or "").startswith(CONTROLLER)
        if not wanted or self._task.check_mode or answer.get("lost"):
            return answer
        host = task_vars.get("inventory_hostname", "")
        names = ("root", "backup_copy_to", "backup_encrypt_to", "backup_fetch_limit")
        options: Result = {name: arguments[name] for name in names if name in arguments}
        listed = [entry["name"] for entry in arguments.get("databases") or []]
        options["databases"] = [*dict.fromkeys([*listed, *(entry["name"] for entry in answer["databases"])])]
        module = "hosting.alembic.fetch_backups"
        answer["copies"] = fetch(host, options, lambda request: self.call(request, task_vars, module))
        for problem in answer["copies"]["problems"]:
            display.warning(f"{host}: {problem}")
        return answer

    def call(self, arguments: Result, task_vars: Result, name: str = "") -> Result:
        """Call the module once, again if the connection breaks."""
        name = name or self._task.action
        notice_losses(self._connection)
        begins_work = "attach" in arguments
        deadline = time.monotonic() + float(arguments.get("reconnect_timeout") or _PATIENCE_OF_READERS)
        attempt = 0
        while True:
            try:
                answer = self._execute(name, arguments, task_vars)
                if not answer.get("unreachable"):
                    facts = reduce_interpreter(self._discovered_interpreter_key, self._discovered_interpreter)
                    known = judge_answer(name, {**reduce_answer(name, with_message(name, answer), arguments), **facts})
                    return _with_commands(known, task_vars)
                reason = answer.get("msg", "unreachable")
            except AnsibleConnectionFailure as error:
                reason = error.message
            if begins_work:
                arguments = {**arguments, "attach": True}  # what was requested may have been done
            if attempt == 0:
                words = "the connection broke; the work goes on there" if begins_work else "it cannot be reached"
                display.warning(f"{task_vars.get('inventory_hostname')}: {words}")
            if time.monotonic() > deadline:
                return _with_commands(make_lost_result(str(reason), begins_work), task_vars)
            time.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            self._reset()
            attempt += 1

    def _execute(self, name: str, arguments: Result, task_vars: Result) -> Result:
        """Execute the module, and once more with its code where the host does not have that."""
        first = code.with_code(name, self.update_arguments(arguments))
        answer: Result = self._execute_module(module_name=name, module_args=first, task_vars=task_vars)
        if answer.get("needs_code") is not True or "code_digest" not in first:
            return answer
        with self.send_archives({"code_archive": code.pack_code()["archive"]}) as sent:
            second = {
                **first,
                **self.update_arguments(arguments),
                **sent,
            }  # sending takes some of the time that is left
            return dict(self._execute_module(module_name=name, module_args=second, task_vars=task_vars))

    def _parse_returned_data(self, res: Result, *others: Any, **named: Any) -> Any:
        """Clean what the host printed: Ansible shows what surrounds a module's answer as it came."""
        cleaned = {key: escape_controls(value) for key, value in res.items()}
        return super()._parse_returned_data(cleaned, *others, **named)

    def update_arguments(self, arguments: Result) -> Result:
        """Return a call's arguments as they are true right now."""
        return arguments

    def split_archives(self) -> tuple[Result, dict[str, str]]:
        """Return the task's options without the archives, and the archives' paths on the controller."""
        local = {option: self._task.args.get(option) or "" for option in ARCHIVES.values()}
        return {key: value for key, value in self._task.args.items() if key not in local}, local

    @contextmanager
    def send_archives(self, local: dict[str, str]) -> Iterator[dict[str, str]]:
        """Send archives and yield their paths on the host; they are removed afterwards, with the last of several."""
        makes_folder = not self._connection._shell.tmpdir
        if makes_folder:
            self._make_tmp_path()
        folder = self._connection._shell.tmpdir
        try:
            remote = {}
            for option, path in local.items():
                if path:
                    remote[option] = self._connection._shell.join_path(folder, path.rsplit("/", 1)[-1])
                    self._transfer_file(path, remote[option])
            self._fixup_perms2((folder, *remote.values()))
            yield remote
        finally:
            if makes_folder:
                self._remove_tmp_path(folder)

    def _reset(self) -> None:
        try:
            self._connection.reset()
        except Exception as error:  # noqa: BLE001 - the next attempt says what is wrong
            display.vvv(f"reset: {error}")


def _count(cursor: Result) -> int:
    """Return how many databases a cursor is for; that of a recovery names them apart."""
    names = cursor.get("names")
    return len(names) if isinstance(names, list) else len(cursor)


def _shorten_message(answer: Result) -> str:
    """Return the causes of a failure without what to type."""
    failures = [(entry["name"], entry["error"]) for entry in answer.get("databases", []) if entry.get("error")]
    own = [("", answer["error"])] if answer.get("error") else []
    lines = list_short_lines(own if answer.get("lost") else failures or own)
    return "\n".join(lines) or str(answer["msg"]).partition("\n")[0]


def notice_losses(connection: Any) -> None:
    """Have ssh notice a host that fell silent, unless an option says already when, and report it at once.

    Where ssh is set to try again by itself, it would repeat the call as if what that has begun had not begun yet.
    """
    if connection.transport != "ssh":
        return
    connection.set_option("reconnection_retries", 0)
    given = {way: connection.get_option(way) or "" for way in _WAYS_TO_GIVE_SSH_OPTIONS}
    if not any("ServerAliveInterval" in options for options in given.values()):
        connection.set_option("ssh_common_args", f"{given['ssh_common_args']} {_KEEP_ALIVE}".strip())


def _with_commands(answer: Result, task_vars: Result) -> Result:
    """Complete the commands in what Ansible or a warning prints of an answer; its data may go back to the host."""
    invocation, host = find_invocation(), task_vars.get("inventory_hostname", "")
    printed = {key: answer[key] for key in ("msg", "refusals") if key in answer}
    return {**answer, **invocation.complete_all(printed, host)}


def make_lost_result(reason: str, begins_work: bool = False) -> Result:
    """Return the result of a host that is gone; an unreachable one is not rescued."""
    reason = escape_unprintable(reason, lines=True)
    done = f"What was begun there goes on there. This says how it ended: {build_playbook_command('recover')}"
    return {
        "failed": True,
        "lost": True,
        "ok": False,
        "changed": False,
        "databases": [],
        "finished": True,
        "msg": f"The host was lost and did not come back: {reason}\n{done}"
        if begins_work
        else f"The host cannot be reached: {reason}\nNothing was run on the host.",
    }
