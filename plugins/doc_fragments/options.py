# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of the options in ``module_utils/_core/argument_specs.py``, each written once."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments named like the functions that define the options."""

    RELEASE = r"""
options:
  root:
    description: The folder on the host that holds releases, virtualenvs, backups and journals.
    type: path
    required: true
  release:
    description:
      - Digest of the release to work with.
      - By default, of each database the one that it was last shipped or upgraded with.
    type: str
    default: ""
  databases:
    description: The databases to work on. Their names are unique on a host.
    type: list
    elements: dict
    default: []
    suboptions: &entry
      name:
        description: What the database is called in results, journals and backups.
        type: str
        required: true
      url:
        description:
          - Where it is, as SQLAlchemy writes it, for example V(postgresql://user@server/name) or
            V(sqlite:////srv/app/app.db).
          - A URL without a driver gets one that is installed.
        type: str
        required: true
      password:
        description: The password, to keep it out of O(databases[].url).
        type: str
      direct_url:
        description: A URL that leads past a connection pooler. Everything here uses it in place of O(databases[].url).
        type: str
      admin_url:
        description:
          - A URL to the same PostgreSQL server, of a role that may create databases.
          - Without it the database's own user makes the copy that is rehearsed on, and what a restore swaps in.
          - A superuser is not needed where the role is a member of the owner. It only creates, renames and drops.
        type: str
      admin_password:
        description: The password of O(databases[].admin_url), to keep it out of the URL.
        type: str
      rehearse_url:
        description: >-
          A URL to another PostgreSQL server, of a role that may create databases there, to rehearse on; or to a MariaDB
          server, also the same one, of a user with all privileges on schemas C(hosting_alembic_rehearsal_…) and no
          other right, which a rehearsal on MariaDB needs. env.py and the code in the database have its rights there.
        type: str
      rehearse_password:
        description: The password of O(databases[].rehearse_url), to keep it out of the URL.
        type: str
      schema:
        description:
          - The one schema of a PostgreSQL database that this entry means, where others share the database. It is
            locked, backed up, upgraded, compared and restored by itself, and the other ones stay as they are.
          - C(env.py) has to work in it, as O(databases[].x_arguments), O(databases[].environment) or the URL says.
        type: str
        default: ""
      target:
        description: What to upgrade this database to, in place of O(target).
        type: str
      run_as:
        description: The user that C(env.py) and the revisions of this database run as, in place of O(run_as).
        type: str
        default: ""
      url_variables:
        description: Names of environment variables that receive the URL before C(env.py) runs.
        type: list
        elements: str
        default: []
      environment:
        description:
          - Further environment variables for C(env.py). V({url}) in a value is the URL that C(env.py) is to use, a
            copy's in a rehearsal; V({url.host}), C(port), C(username), C(password) and C(database) are its parts.
        type: dict
        default: {}
      x_arguments:
        description:
          - What would follow C(-x) on Alembic's command line, for example V(tenant=shop). V({url}) is replaced as
            in C(environment).
        type: list
        elements: str
        default: []
      engine_name:
        description: >-
          One of the C(databases) in C(alembic.ini), where C(env.py) is made from Alembic's C(multidb) template, or one
          of the binds, where it is made from Flask-Migrate's; V(default) is the one without a name there. It then
          migrates this one alone.
        type: str
        default: ""
  discover:
    description:
      - Sources that list databases on the host, beside or in place of O(databases).
      - A module that begins something queries them, unless a list was kept for the run, and keeps the answer. Another
        one takes the list of the run, or else the last one.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What the source is called. Its last list is known by it.
        type: str
        required: true
      sql:
        description: One statement that reads, on the database of O(discover[].url).
        type: str
      url:
        description: The database that O(discover[].sql) queries, or whose O(discover[].schemas) are listed.
        type: str
      password:
        description: The password of that database, to keep it out of the URL.
        type: str
      files:
        description: >-
          Absolute patterns of SQLite files on the host; no link that a pattern matches is followed. The columns are
          C(path), C(name), C(stem) and C(folder).
        type: list
        elements: str
      command:
        description: >-
          A program on the host, as a list of words, that prints a list of objects as JSON. It runs as O(run_as) where
          that is set, else as the user of the module.
        type: list
        elements: str
      schemas:
        description: >-
          Patterns of schemas in the PostgreSQL database of O(discover[].url), or in each that O(discover[].sql) or
          O(discover[].command) finds. Each is a database of its own then, with the column C(schema).
        type: list
        elements: str
      template:
        description: >-
          An entry as in O(databases) in which V({column}) is the value of a column. In a URL a value stays in the part
          that it is written in; a placeholder that is all of a URL is a whole one.
        type: dict
        required: true
        suboptions: *entry
      exclude:
        description: Patterns of names, or of paths of files, that are left out.
        type: list
        elements: str
        default: []
      minimum:
        description: How many databases there must be. With V(0) there may be none.
        type: int
        default: 1
      maximum_change:
        description: How many databases may be gone, and how many may be new, in percent of the last list.
        type: float
        default: 10
      timeout:
        description: Seconds that the source may take.
        type: float
        default: 60
  discover_accept:
    description: Whether a list that differs from the last one by more than O(discover[].maximum_change) is right.
    type: bool
    default: false
  found_in:
    description: Runs whose kept list is used, the first that has one.
    type: list
    elements: str
    default: []
  select:
    description: Names or patterns of the databases to work on; by default all.
    type: list
    elements: str
    default: []
  select_required:
    description: Those of O(select) that a database of this host must have; others may be of other hosts.
    type: list
    elements: str
    default: []
  target:
    description: What to upgrade to. Whatever C(alembic upgrade) takes.
    type: str
    default: head
  alembic_options:
    description:
      - Main options of the Alembic configuration, set on top of the release's own.
      - V(%(here\)s) in a value is the shipped directory.
    type: dict
    default: {}
  setup:
    description:
      - A callable as V(package.module:callable), called before C(env.py) runs.
      - When it returns a context manager or a Flask application, C(env.py) runs inside of it.
    type: str
    default: ""
  run_as:
    description:
      - The user that C(env.py) and the revisions run as. Only root becomes another user.
      - By default the owner of a SQLite file where the module runs as root, and else the user of the module.
    type: str
    default: ""
  workers:
    description:
      - How many databases are worked on at once, each in a process of its own.
      - Each takes at most four connections to its server, and while it is backed up one more for each parallel job.
    type: int
    default: 2
  plan_timeout:
    description: Seconds that C(env.py) may take in a plan.
    type: float
    default: 60
  pg_bin:
    description:
      - Folder of C(pg_dump) and C(pg_restore).
      - By default the newest ones found in C(PATH) and below C(/usr/lib/postgresql).
    type: str
    default: ""
  nontransactional_tables:
    description:
      - What is done about tables of MariaDB that have no transactions (MyISAM, Aria).
      - V(lock) has other sessions wait while they are dumped. V(refuse) refuses a database that has any.
    type: str
    choices: [lock, refuse]
    default: lock
  restore_method:
    description:
      - How a PostgreSQL database is restored. V(swap) restores into a new database and renames it into place, which
        needs the right to create databases. V(in_place) replaces what is in the database, in one transaction.
      - V(auto) swaps where it may.
    type: str
    choices: [auto, swap, in_place]
    default: auto
  retry_failed:
    description:
      - Whether a database that failed in an earlier run is tried again, V(true) or a list of names. A run does not do
        so by itself, even where the database was reverted.
      - A held database is tried again if it is at the target of that run, or if it is as before it. For that it is
        compared with the backup of that run, its rows included.
    type: raw
    default: false
  accept_rows:
    description:
      - The names of held databases whose rows a person has compared with the backup of the run that is held. At their
        revision before that run they are tried again with O(retry_failed) though these rows differ.
    type: list
    elements: str
    default: []
  on_changed_history:
    description:
      - What it means that the file of an applied revision has changed or is gone, or that the database has a revision
        that no journal of this host knows although this host has migrated it before.
      - V(warn) reports it, V(refuse) makes it an obstacle of an upgrade of that database.
    type: str
    choices: [warn, refuse]
    default: warn
  backup_encrypt_to:
    description:
      - Who can open the backups. An age recipient (V(age1…)), or the path on the host of a file with age recipients or
        with an OpenPGP public key. The private key belongs on no host.
      - A backup is encrypted when it is made. Its plain files stay until its run is verified or reverted.
    type: str
    default: ""
  backup_copy_to:
    description:
      - Where each backup is copied to. V(/a/directory) on the host, which has to be there (a mount); an upgrade waits
        for the copy and does not begin without it.
      - V(controller:/a/directory) is one on the controller, which fetches the backups after the run.
      - Encrypted backups leave the host encrypted only. Copies are never removed by this collection.
    type: str
    default: ""
  backup_fetch_limit:
    description:
      - How many bytes the controller fetches from one host after a run, at most.
      - The controller leaves in any case 5 % of its disk free.
    type: int
    default: 1099511627776
  backup_copy_command:
    description:
      - A command, as a list of words, that copies a backup off the host, besides or in place of O(backup_copy_to).
      - V({path}) is the folder to copy, V({name}) a name for it, V({host}), V({database}) and V({run}) its parts.
      - Exit code 0 means that the copy is there. An upgrade waits for it and does not begin without it.
    type: list
    elements: str
    default: []
  backup_command:
    description:
      - A command, as a list of words, that backs a database up in place of the collection, for example C(pgbackrest).
      - V({path}) is an empty folder that is kept with the backup, V({name}) a name for it, V({database}) and V({run})
        its parts. The environment describes the database in C(HOSTING_ALEMBIC_ENGINE), C(…_NAME), C(…_HOST),
        C(…_PORT), C(…_USER), C(…_PASSWORD), C(…_DATABASE), C(…_RUN) and C(…_PATH), and in what libpq reads.
    type: list
    elements: str
    default: []
  backup_check_command:
    description:
      - A command with the same placeholders that fails unless that backup can be restored. Required with
        O(backup_command); it runs after each backup, and again before a restore.
    type: list
    elements: str
    default: []
  restore_command:
    description:
      - A command with the same placeholders that restores what O(backup_command) made. Heads and schema are verified
        afterwards. What it replaces is backed up by O(backup_command) first.
      - Without it such a backup is not restored, and a database that would need that is held.
      - Whether others wrote since such a backup is not known, which counts as if they had.
    type: list
    elements: str
    default: []
  command_timeout:
    description:
      - Seconds after which O(backup_copy_command), O(backup_command), O(backup_check_command) or O(restore_command) is
        ended with all that it started; V(0) for never. What was to come after it is not begun then.
      - The end of the window ends what runs before an upgrade too, but never a restore.
    type: float
    default: 14400
"""

    DISCOVERY_OF_NAMES = r"""
options:
  found_by:
    description: Names of the sources whose databases count too, as they were kept on the host.
    type: list
    elements: str
    default: []
  found_in:
    description: Runs whose kept list is used, the first that has one; else the last list of each source.
    type: list
    elements: str
    default: []
  select:
    description: Names or patterns of the databases to work on; by default all.
    type: list
    elements: str
    default: []
"""

    REQUIREMENT = r"""
options:
  require_rehearsal:
    description:
      - Refuse to upgrade a database unless this release was rehearsed on it with success, on this host, to the same
        target and from its current revision.
    type: bool
    default: false
  rehearsal_max_age:
    description: Seconds that a rehearsal is valid for an upgrade.
    type: float
    default: 86400
"""

    INSTALLATION = r"""
options:
  release:
    description: Digest of the release, its content and what it installs.
    type: str
    required: true
  content:
    description: Digest of the directory alone; what arrives on the host is compared with it.
    type: str
    required: true
  requirements_file:
    description: The requirements file to install, below the shipped directory.
    type: str
    default: requirements.txt
  requirements:
    description: Its text and that of the files it refers to; empty if nothing is to be installed from it.
    type: str
    default: ""
  packages:
    description: Requirement specifiers to install besides.
    type: list
    elements: str
    default: []
  pip_arguments:
    description: Further arguments of C(pip install).
    type: list
    elements: str
    default: []
  wheelhouse:
    description: Digest of the wheels to install from in place of a package index.
    type: str
    default: ""
  python:
    description: The interpreter that makes the virtualenv.
    type: str
    default: python3
  virtualenv:
    description: A virtualenv that is on the host already, in place of building one.
    type: str
    default: ""
  from_source:
    description: Whether the source itself is a part of what is installed. Then its release has a virtualenv of its own.
    type: bool
    default: false
"""

    RUN = r"""
options:
  run:
    description: The run id. It names the journal and the backup.
    type: str
    required: true
  lock_timeout:
    description: Seconds that one statement of a migration waits for a lock before the revision is tried again.
    type: float
    default: 2
  lock_wait:
    description: Seconds until a migration that gets no lock is given up.
    type: float
    default: 300
  database_wait:
    description: Seconds to wait for another run that holds the database.
    type: float
    default: 900
  statement_timeout:
    description: Seconds that one statement of a migration may take; 0 is for ever.
    type: float
    default: 0
  backup_jobs:
    description: Parallel jobs of C(pg_dump). A database below 64 MiB gets one.
    type: int
    default: 2
  backup_compression:
    description: Compression level of C(pg_dump), 0 to 9.
    type: int
    default: 6
  backup_lock_wait:
    description: Seconds that C(pg_dump) waits for a table lock.
    type: float
    default: 60
  backup_keep:
    description: How many backups of a database are kept. The newest always is.
    type: int
    default: 5
  backup_keep_days:
    description: After how many days a backup is removed. The newest never is, nor one that a revert needs.
    type: int
    default: 30
  row_counts_limit:
    description: Bytes above which a database's rows are not counted before and after.
    type: int
    default: 1073741824
  compare_limit:
    description:
      - Bytes above which a table is not compared with the backup after a failure.
      - Only tables that may have changed are compared. One that is not compared counts as different.
    type: int
    default: 10737418240
  on_failure:
    description:
      - What becomes of a database whose upgrade failed.
      - V(auto) downgrades what the run committed; where that is not enough it restores the backup, if it can be shown
        that no one else wrote since, and else holds the database. V(downgrade) never restores, V(restore) does not
        try a downgrade, and V(hold) leaves it to a person.
    type: str
    choices: [auto, downgrade, restore, hold]
    default: auto
  restore_loses_writes:
    description: Restore also where others have written since the backup. What is replaced is kept as a retained copy.
    type: bool
    default: false
  follow:
    description: Seconds that one call stays with the worker before it returns what came and is called again.
    type: float
    default: 3.5
  cursor:
    description: What earlier calls have returned already. The action plugin fills it in.
    type: dict
    default: {}
  attach:
    description:
      - Whether this call belongs to a run that an earlier call began, and may find it ended.
      - The action plugin sets it after its first call.
    type: bool
    default: false
  reconnect_timeout:
    description: Seconds to try to reach the host again after its connection broke. The work there goes on meanwhile.
    type: float
    default: 300
attributes:
  check_mode:
    support: full
    description: Returns which databases would change and with which outcome, and changes nothing.
  diff_mode:
    support: full
    description: Shows where each database was and where it is.
"""

    PARTS = r"""
options:
  begin_for:
    description:
      - Seconds in which databases are begun; then the answer has RV(finished=false), and lacks those that were not.
      - What is called again for them prints how far it is meanwhile. Of twelve databases or fewer it has no effect.
      - V(0) answers for all of them at once.
    type: float
    default: 0
  done_before:
    description: What earlier calls have answered, each with its C(name). The action plugin fills it in.
    type: list
    elements: dict
    default: []
"""

    CODE = r"""
options:
  code_digest:
    description:
      - The digest of the code that the module works with. The host keeps that code below O(root), so that it is not
        sent with each call. The action plugin fills it in.
    type: str
    default: ""
  code_archive:
    description:
      - That code, where the host has answered that it does not have it. The action plugin sends it.
      - In check mode it is used from where it was sent to, and not kept.
    type: path
"""

    PLATFORM = r"""
attributes:
  platform:
    description: The operating systems of the hosts.
    support: full
    platforms: posix
"""
