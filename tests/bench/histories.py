"""Equal histories for Alembic and for dbmate: tables, columns and indexes, as many revisions as are requested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# What `alembic init` writes, but for the URL: a loop in a shell has only the environment to say it in.
ENV = """\
import os
from logging.config import fileConfig

from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name)

url = config.get_main_option("sqlalchemy.url") or os.environ["DATABASE_URL"]
connectable = engine_from_config({"sqlalchemy.url": url}, prefix="sqlalchemy.", poolclass=pool.NullPool)
with connectable.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""

INI = """\
[alembic]
script_location = %(here)s/migrations

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

REVISION = '''\
"""Step {number}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down}


def upgrade():
{up}


def downgrade():
{back}
'''

_CREATE = """\
    op.create_table(
        "{table}",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(50), nullable=False),
    )"""
_ADD = """\
    op.add_column("{table}", sa.Column("note", sa.String(100)))
    op.create_index("{table}_note", "{table}", ["note"])"""
_REMOVE = """\
    op.drop_index("{table}_note", "{table}")
    op.drop_column("{table}", "note")"""

_SQL_CREATE = "create table {table} (id integer not null primary key, name varchar(50) not null);"
_SQL_ADD = "alter table {table} add column note varchar(100);\ncreate index {table}_note on {table} (note);"
_SQL_REMOVE = "drop index {table}_note;\nalter table {table} drop column note;"


def _steps(count: int) -> Iterator[tuple[int, str, bool]]:
    """Yield number, table and whether the step makes the table: every second one only changes it."""
    for number in range(1, count + 1):
        yield number, f"t{(number + 1) // 2:04}", number % 2 == 1


def alembic_project(folder: Path, count: int) -> Path:
    """Write a project folder with a history of ``count`` revisions; return it."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    for number, table, makes in _steps(count):
        text = REVISION.format(
            number=number,
            revision=f"r{number:04}",
            down=f'"r{number - 1:04}"' if number > 1 else None,
            up=(_CREATE if makes else _ADD).format(table=table),
            back=f'    op.drop_table("{table}")' if makes else _REMOVE.format(table=table),
        )
        (versions / f"r{number:04}_step.py").write_text(text)
    return folder


def dbmate_folder(folder: Path, count: int) -> Path:
    """Write the same history as dbmate reads it; return the folder."""
    folder.mkdir(parents=True)
    for number, table, makes in _steps(count):
        up = (_SQL_CREATE if makes else _SQL_ADD).format(table=table)
        back = (f"drop table {table};" if makes else _SQL_REMOVE).format(table=table)
        (folder / f"{20250101000000 + number}_step.sql").write_text(f"-- migrate:up\n{up}\n\n-- migrate:down\n{back}\n")
    return folder
