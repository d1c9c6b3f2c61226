"""The one place that keeps the wording of errors: what, code, why and what to type, as a person reads it.

Other tests compare the code of an error and what it names (`tests/codes.py`). What a report prints, the lines of a
summary and the commands that are typed from it, is itself what is tested where it is rendered: in
`plugin_utils/_report`, `plugin_utils/_rollout/test_summary.py` and `integration/test_printed_commands.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._application.services import Service
from ansible_collections.hosting.alembic.plugins.module_utils._core.commands import run_command
from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Database
from ansible_collections.hosting.alembic.plugins.module_utils._core.paths import check_run_id
from ansible_collections.hosting.alembic.plugins.module_utils._engines.migration_url import build_migration_url
from ansible_collections.hosting.alembic.plugins.module_utils._journal.history import find_last_change
from ansible_collections.hosting.alembic.plugins.module_utils._journal.run_state import RunState
from ansible_collections.hosting.alembic.plugins.plugin_utils._windows.permit import permit

FAILED = RunState("app", "failed", "r1", error={"code": "revision-failed", "what": "It failed", "remedy": "Correct it"})


def _raise(error: Refused | None) -> None:
    assert error is not None
    raise error


EXAMPLE = "postgresql://user@server/name or sqlite:////srv/app.db"

MESSAGES: dict[str, tuple[Callable[[], object], str]] = {
    "run-id-invalid": (
        lambda: check_run_id("../up"),
        (
            "The run id '../up' cannot be used [run-id-invalid]: it becomes a file name."
            " Use letters, digits, dots, dashes and underscores, 64 at most."
        ),
    ),
    "command-failed": (
        lambda: run_command(["sh", "-c", "echo no such bucket; exit 3"], {}, {}, "The copy failed", "Look"),
        "The copy failed [command-failed]: sh ended with exit code 3: no such bucket. Look.",
    ),
    "command-timeout": (
        lambda: run_command(["sleep", "600"], {}, {}, "The copy failed", "Look", 0.2),
        (
            "The copy failed [command-timeout]: sleep had not ended after 0.2 s, and was ended with all that"
            " it had started: it printed nothing. Look; or raise migrate_command_timeout."
        ),
    ),
    "url-invalid": (
        lambda: build_migration_url(Database("app", "postgresql:u:secret@server")),
        (
            "The url of database 'app' cannot be parsed [url-invalid]: it does not begin with a dialect and ://."
            f" Write it as SQLAlchemy does, for example {EXAMPLE}, and its password into `password` beside it."
        ),
    ),
    "database-type-unsupported": (
        lambda: build_migration_url(Database("app", "oracle://u@server/x")),
        (
            "Unsupported database type 'oracle' in the URL of 'app' [database-type-unsupported]:"
            " supported are mariadb, postgresql, sqlite. Begin it with postgresql://, mariadb:// or sqlite:///."
        ),
    ),
    "service-invalid": (
        lambda: Service.of({"name": "shop", "stat": ["true"]}),
        (
            "The service 'shop' cannot be used [service-invalid]: unknown keys: stat."
            " Name a unit of systemd, for example shop.service; or write {name: shop, start: [/opt/shop/ctl, start],"
            " stop: [/opt/shop/ctl, stop], status: [/opt/shop/ctl, status]}."
        ),
    ),
    "run-unknown": (
        lambda: find_last_change("/nowhere"),
        (
            "There is no run to roll back on this host [run-unknown]: its journals know of no upgrade."
            " Check migrate_root, and --limit to the hosts that have been migrated."
        ),
    ),
    "window-missing": (
        lambda: permit([], True, ""),
        (
            "No window is defined, and migrate_window_required is true [window-missing]: migrate_windows is empty."
            " Define one, or set migrate_window_override to the reason why it cannot wait."
        ),
    ),
    "database-failed-before": (
        lambda: _raise(FAILED.find_obstacle(pending=True, retry=False)),
        (
            "Database 'app' failed in run r1; retry it with migrate_retry_failed [database-failed-before]:"
            " It failed [revision-failed]. Correct what failed, then: ansible-playbook migrate.yml"
            """ -e '{"migrate_retry_failed": ["app"]}'"""
        ),
    ),
}


@pytest.mark.parametrize("code", MESSAGES)
def test_an_error_says_what_why_and_what_to_type(code: str) -> None:
    make, text = MESSAGES[code]

    with pytest.raises(Refused) as caught:
        make()

    assert (caught.value.code, str(caught.value)) == (code, text)
