"""Connects to one database and runs the revisions on it."""

from __future__ import annotations

import os
from logging.config import fileConfig

from alembic import context
from alembic.util import CommandError
from models import Base, make_engine
from sqlalchemy import pool

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)


def database_url() -> str:
    url = config.get_main_option("sqlalchemy.url") or os.environ.get("DATABASE_URL")
    if not url:
        raise CommandError("no database: set DATABASE_URL or the option sqlalchemy.url")
    return url


def run_migrations() -> None:
    engine = make_engine(database_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            # A failure undoes the revision it happened in and leaves the ones before it.
            transaction_per_migration=True,
            # SQLite alters a table by building a new one.
            render_as_batch=connection.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    # A revision here reads rows, which a SQL script cannot.
    raise CommandError("these migrations read rows and need a connection: --sql is not supported")
run_migrations()
