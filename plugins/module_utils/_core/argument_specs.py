# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the modules, each defined once. Their documentation is the fragment of the same name."""

from __future__ import annotations

from typing import Any

#: The options of a module, as Ansible describes them.
Spec = dict[str, Any]
#: The options of a module, as Ansible has read them by such a description.
Options = dict[str, Any]
#: One entry of the option ``databases``: the keys of ``DATABASE``.
Entry = dict[str, Any]

DATABASE: Spec = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "direct_url": {"type": "str"},
    "admin_url": {"type": "str"},
    "admin_password": {"type": "str", "no_log": True},
    "rehearse_url": {"type": "str"},
    "rehearse_password": {"type": "str", "no_log": True},
    "schema": {"type": "str", "default": ""},
    "target": {"type": "str"},
    "run_as": {"type": "str", "default": ""},
    "url_variables": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "dict", "default": {}},
    "x_arguments": {"type": "list", "elements": "str", "default": []},
    "engine_name": {"type": "str", "default": ""},
}


#: A source of databases; its template is as an entry of a database.
SOURCE: Spec = {
    "name": {"type": "str", "required": True},
    "sql": {"type": "str"},
    "url": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "files": {"type": "list", "elements": "str"},
    "command": {"type": "list", "elements": "str"},
    "schemas": {"type": "list", "elements": "str"},
    "template": {"type": "dict", "required": True, "options": DATABASE},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "minimum": {"type": "int", "default": 1},
    "maximum_change": {"type": "float", "default": 10},
    "timeout": {"type": "float", "default": 60},
}


def _build_selection() -> Spec:
    """Options that say which list of found databases is used, and which of its databases."""
    return {
        "found_in": {"type": "list", "elements": "str", "default": []},
        "select": {"type": "list", "elements": "str", "default": []},
    }


def build_discovery() -> Spec:
    """Options of every verb that works with databases that were found."""
    return {
        "discover": {"type": "list", "elements": "dict", "default": [], "options": SOURCE},
        "discover_accept": {"type": "bool", "default": False},
        "select_required": {"type": "list", "elements": "str", "default": []},
        **_build_selection(),
    }


def build_discovery_of_names() -> Spec:
    """Options of the modules that need no more of found databases than their names, as they were kept."""
    return {
        "found_by": {"type": "list", "elements": "str", "default": []},
        **_build_selection(),
    }


def release() -> Spec:
    """Options of every verb that works with a release."""
    return {
        "root": {"type": "path", "required": True},
        "release": {"type": "str", "default": ""},
        "databases": {"type": "list", "elements": "dict", "default": [], "options": DATABASE},
        **build_discovery(),
        "target": {"type": "str", "default": "head"},
        "alembic_options": {"type": "dict", "default": {}},
        "setup": {"type": "str", "default": ""},
        "run_as": {"type": "str", "default": ""},
        "workers": {"type": "int", "default": 2},
        "plan_timeout": {"type": "float", "default": 60},
        "pg_bin": {"type": "str", "default": ""},
        "nontransactional_tables": {"type": "str", "choices": ["lock", "refuse"], "default": "lock"},
        "retry_failed": {"type": "raw", "default": False},
        "accept_rows": {"type": "list", "elements": "str", "default": []},
        "on_changed_history": {"type": "str", "choices": ["warn", "refuse"], "default": "warn"},
        "backup_encrypt_to": {"type": "str", "default": ""},
        "backup_copy_to": {"type": "str", "default": ""},
        "backup_fetch_limit": {"type": "int", "default": 1 << 40},
        "backup_copy_command": {"type": "list", "elements": "str", "default": []},
        "backup_command": {"type": "list", "elements": "str", "default": []},
        "backup_check_command": {"type": "list", "elements": "str", "default": []},
        "restore_command": {"type": "list", "elements": "str", "default": []},
        "command_timeout": {"type": "float", "default": 14400},
        "restore_method": {"type": "str", "choices": ["auto", "swap", "in_place"], "default": "auto"},
    }


def build_code() -> Spec:
    """Options of the modules whose code is not sent with each call."""
    return {"code_digest": {"type": "str", "default": ""}, "code_archive": {"type": "path"}}


def run() -> Spec:
    """Options of the verbs that change something, and so belong to a run."""
    return {
        **release(),
        **build_code(),
        "run": {"type": "str", "required": True},
        "lock_timeout": {"type": "float", "default": 2},
        "lock_wait": {"type": "float", "default": 300},
        "database_wait": {"type": "float", "default": 900},
        "statement_timeout": {"type": "float", "default": 0},
        "backup_jobs": {"type": "int", "default": 2},
        "backup_compression": {"type": "int", "default": 6},
        "backup_lock_wait": {"type": "float", "default": 60},
        "backup_keep": {"type": "int", "default": 5},
        "backup_keep_days": {"type": "int", "default": 30},
        "row_counts_limit": {"type": "int", "default": 1 << 30},
        "compare_limit": {"type": "int", "default": 10 << 30},
        "on_failure": {"type": "str", "default": "auto", "choices": ["auto", "downgrade", "restore", "hold"]},
        "restore_loses_writes": {"type": "bool", "default": False},
        "follow": {"type": "float", "default": 3.5},
        "cursor": {"type": "dict", "default": {}},
        "attach": {"type": "bool", "default": False},
        "reconnect_timeout": {"type": "float", "default": 300},
    }


def build_parts() -> Spec:
    """Options of what is called again for the databases that it has not begun."""
    return {
        "begin_for": {"type": "float", "default": 0},
        "done_before": {"type": "list", "elements": "dict", "default": []},
    }


def plan() -> Spec:
    """Options of the plan module, which in check mode can plan with a release that was not shipped."""
    return {
        **release(),
        **build_code(),
        **build_parts(),
        **build_requirement(),
        "run": {"type": "str", "default": ""},
        "recovers": {"type": "bool", "default": False},
        "rehearses": {"type": "bool", "default": False},
        "on_refusal": {"type": "str", "choices": ["skip", "stop"], "default": "skip"},
        "installation": {"type": "dict", "options": build_installation()},
        "archive": {"type": "path"},
        "wheelhouse_archive": {"type": "path"},
    }


def build_status() -> Spec:
    """Options of the status module."""
    return {**release(), **build_code(), **build_parts(), "retained_days": {"type": "float", "default": 14}}


def prune() -> Spec:
    """Options of the prune module."""
    return {
        **release(),
        **build_code(),
        "prune": {"type": "bool", "default": False},
        "prune_days": {"type": "float", "default": 30},
    }


def build_backups() -> Spec:
    """Options of the backups_info module."""
    return {
        **build_discovery_of_names(),
        **build_code(),
        "root": {"type": "path", "required": True},
        "databases": {"type": "list", "elements": "str", "required": True},
    }


def fetch_backups() -> Spec:
    """Options of the fetch_backups module."""
    return {
        **build_code(),
        "root": {"type": "path", "required": True},
        "databases": {"type": "list", "elements": "str", "required": True},
        "backup_copy_to": {"type": "str", "required": True},
        "backup_encrypt_to": {"type": "str", "default": ""},
        "database": {"type": "str", "default": ""},
        "run": {"type": "str", "default": ""},
        "offset": {"type": "int", "default": 0},
        "length": {"type": "int", "default": 8 << 20},
        "fetched": {"type": "list", "elements": "dict", "default": []},
    }


def upgrade() -> Spec:
    """Options of the upgrade module."""
    return {
        **run(),
        **build_requirement(),
        "verify_only": {"type": "list", "elements": "str", "default": []},
        "canary": {"type": "str", "default": ""},
        "planned": {"type": "list", "elements": "dict"},
        "deadline": {"type": "str", "default": ""},
        "time_left": {"type": "float"},
        "window_margin": {"type": "float", "default": 300},
        "window_override": {"type": "str", "default": ""},
    }


def downgrade() -> Spec:
    """Options of the downgrade module."""
    return {**run(), "rejected": {"type": "str", "default": ""}}


def build_maintenance() -> Spec:
    """Options of the maintenance module."""
    return {
        **release(),
        **build_code(),
        "state": {"type": "str", "choices": ["begun", "started", "ended"], "required": True},
        "run": {"type": "str", "default": ""},
        "names": {"type": "list", "elements": "str", "default": []},
        "services": {"type": "list", "elements": "raw", "default": []},
        "file": {"type": "path", "default": ""},
        "pgbouncer_url": {"type": "str", "default": ""},
        "pgbouncer_password": {"type": "str", "default": "", "no_log": True},
        "pgbouncer_databases": {"type": "list", "elements": "str", "default": []},
        "pgbouncer_timeout": {"type": "float", "default": 60},
        "reconnect_timeout": {"type": "float", "default": 300},
        "cursor": {"type": "dict", "default": {}},
        "attach": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
    }


def build_health() -> Spec:
    """Options of the health module."""
    return {
        **release(),
        **build_code(),
        "checks": {"type": "list", "elements": "dict", "required": True},
        "retries": {"type": "int", "default": 10},
        "delay": {"type": "float", "default": 3},
        "follow": {"type": "float", "default": 3.5},
        "cursor": {"type": "dict", "default": {}},
        "attach": {"type": "bool", "default": False},
        "reconnect_timeout": {"type": "float", "default": 300},
    }


def build_requirement() -> Spec:
    """Return the options by which an upgrade requires rehearsals."""
    return {
        "require_rehearsal": {"type": "bool", "default": False},
        "rehearsal_max_age": {"type": "float", "default": 86400},
    }


def rehearse() -> Spec:
    """Options of the rehearse module."""
    return {
        **run(),
        "planned": {"type": "list", "elements": "dict"},
        "rehearsal_max_age": {"type": "float", "default": 86400},
        "rehearsal_fails_on": {
            "type": "list",
            "elements": "str",
            "choices": ["lossy", "irreversible", "again", "models"],
            "default": [],
        },
    }


def build_rollback() -> Spec:
    """Options of the rollback module."""
    return {
        **run(),
        "of_run": {"type": "str", "default": ""},
        "only": {"type": "list", "elements": "str", "default": []},
    }


def restore() -> Spec:
    """Options of the restore module."""
    return {
        **run(),
        "of_run": {"type": "str", "default": ""},
        "backup": {"type": "str", "default": ""},
        "only": {"type": "list", "elements": "str", "default": []},
        "names_only": {"type": "bool", "default": False},
    }


def build_shipping() -> Spec:
    """Options of the release module."""
    return {
        **build_installation(),
        **build_discovery_of_names(),
        **build_code(),
        "root": {"type": "path", "required": True},
        "names": {"type": "list", "elements": "str", "default": []},
        "keep": {"type": "int", "default": 5},
        "archive": {"type": "path"},
        "wheelhouse_archive": {"type": "path"},
    }


def build_installation() -> Spec:
    """Return the options that name a release and what it installs."""
    return {
        "release": {"type": "str", "required": True},
        "content": {"type": "str", "required": True},
        "requirements": {"type": "str", "default": ""},
        "requirements_file": {"type": "str", "default": "requirements.txt"},
        "packages": {"type": "list", "elements": "str", "default": []},
        "pip_arguments": {"type": "list", "elements": "str", "default": []},
        "wheelhouse": {"type": "str", "default": ""},
        "python": {"type": "str", "default": "python3"},
        "virtualenv": {"type": "str", "default": ""},
        "from_source": {"type": "bool", "default": False},
    }
