"""A schedule on a controller with a systemd and a cron of its own, which start the run by themselves."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.lab import PROJECT, hosts
from tests.lab.shell import CommandFailed

VIRTUALENV = Path(sys.prefix)
HOME = "/srv/controller"
#: Long enough before a window to put two schedules up, on a busy machine.
AHEAD = timedelta(seconds=45)


@dataclass
class Controller:
    """A machine that has the project and its environment, and runs Ansible as root."""

    lab: hosts.Lab

    def run(self, *words: str, text: str | None = None) -> str:
        return self.lab.execute("controller1", *words, text=text)

    def write(self, name: str, text: str) -> str:
        """Write a file on the machine and return its path."""
        path = f"{HOME}/{name}"
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", text=text)
        return path

    def inventory(self, site: str) -> str:
        """Write an inventory of one site with one database."""
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": f"{VIRTUALENV}/bin/python",
            "migrate_root": f"{HOME}/{site}/root",
            "migrate_manifests": f"{HOME}/{site}/manifests",
            "migrate_source": str(PROJECT / "tests" / "fixtures" / "generic"),
            "migrate_virtualenv": str(VIRTUALENV),
            "migrate_databases": [{"name": "app", "url": f"sqlite:///{HOME}/{site}/app.db"}],
        }
        return self.write(f"{site}/inventory.yml", json.dumps({"all": {"hosts": {"here": variables}}}))

    def play(self, verb: str, **variables: Any) -> str:
        playbook = str(PROJECT / "playbooks" / f"{verb}.yml")
        words = ["ansible-playbook", playbook, "-e", json.dumps(variables)]
        path = f"{VIRTUALENV}/bin:/usr/bin:/bin"
        return self.run("env", "LC_ALL=C.UTF-8", f"ANSIBLE_CONFIG={PROJECT}/ansible.cfg", f"PATH={path}", *words)

    def schedule(self, site: str, kind: str, start: datetime) -> str:
        return self.play(
            "schedule",
            migrate_schedule_name=site,
            migrate_schedule_kind=kind,
            migrate_schedule_inventory=[self.inventory(site)],
            migrate_windows=[{"start": f"{start:%H:%M}", "duration": "1h", "timezone": "UTC"}],
        )

    def revision(self, site: str) -> str:
        """Return what SQLite says of a site's database, nothing while there is none."""
        poll = (
            "import sqlite3, sys; found = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True)"
            ".execute('select version_num from alembic_version').fetchone(); print(*found)"
        )
        try:
            return self.run("/usr/bin/python3", "-c", poll, f"{HOME}/{site}/app.db")
        except CommandFailed:
            return ""

    def log(self, site: str) -> str:
        return self.run("sh", "-c", f"cat /var/log/hosting-alembic/{site}.log || true")

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        printed = self.run("systemctl", "show", f"--property={','.join(properties)}", unit)
        return dict(line.split("=", 1) for line in printed.splitlines())


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    folder = tmp_path_factory.mktemp("lab")
    # The virtualenv may be a link, and its Python may be one that Debian does not know.
    shown = {PROJECT, VIRTUALENV.resolve(), Path(sys.base_prefix)} - {Path("/usr")}
    lab = hosts.up(folder, systemd=True, prefix="controller", shown=sorted(shown))
    try:
        yield Controller(lab)
    finally:
        hosts.down(folder)


def test_systemd_and_cron_start_the_run_when_the_window_opens(controller: Controller) -> None:
    # The next whole minute that leaves time enough.
    start = (datetime.now(timezone.utc) + AHEAD + timedelta(minutes=1)).replace(second=0, microsecond=0)
    printed = controller.schedule("by-timer", "auto", start)
    assert f"{start:%Y-%m-%d %H:%M} UTC" in printed
    controller.schedule("by-cron", "cron", start)
    timer = controller.show("by-timer.timer", "ActiveState", "UnitFileState", "NextElapseUSecRealtime")
    assert timer == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "NextElapseUSecRealtime": f"{start:%a %Y-%m-%d %H:%M:%S UTC}",
    }
    assert [controller.revision(site) for site in ("by-timer", "by-cron")] == ["", ""]
    assert datetime.now(timezone.utc) < start, "the schedules were put up too late; nothing was seen"

    for site in ("by-timer", "by-cron"):
        while "ended with 0" not in controller.log(site):
            assert datetime.now(timezone.utc) < start + timedelta(seconds=120), controller.log(site)
            time.sleep(1)
        assert controller.revision(site) == "0002"
        assert controller.log(site).count("Z begins\n") == 1

    for site in ("by-timer", "by-cron"):
        controller.play("unschedule", migrate_schedule_name=site)
    assert controller.show("by-timer.timer", "LoadState") == {"LoadState": "not-found"}
    left = "ls /etc/cron.d/by-* /etc/systemd/system/by-* /usr/local/lib/hosting-alembic/by-* 2>/dev/null || true"
    assert controller.run("sh", "-c", left) == ""


def test_a_run_that_fails_is_a_failed_unit_and_is_reported(controller: Controller) -> None:
    reported = f"{HOME}/told"
    controller.play(
        "schedule",
        migrate_schedule_name="failing",
        migrate_schedule_inventory=[controller.write("failing/inventory.yml", "{}")],
        migrate_schedule_arguments=["--extra-vars", "migrate_databases=none"],
        migrate_schedule_on_failure=f"{{ echo $MIGRATE_EXIT_CODE; cat; }} > {reported}",
        migrate_windows=[{"start": "00:00", "duration": "24h", "timezone": "UTC"}],
    )

    with pytest.raises(CommandFailed):
        controller.run("systemctl", "start", "failing.service")

    unit = controller.show("failing.service", "ActiveState", "Result")
    assert unit == {"ActiveState": "failed", "Result": "exit-code"}
    code, *words = controller.run("cat", reported).splitlines()
    assert int(code) > 0
    assert any("begins" in line for line in words)
