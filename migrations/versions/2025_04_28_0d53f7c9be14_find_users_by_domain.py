"""find users by domain

Revision ID: 0d53f7c9be14
Revises: b27d94e01a68
Create Date: 2025-04-28 16:45:10
"""

from __future__ import annotations

from alembic import op

revision = "0d53f7c9be14"
down_revision = "b27d94e01a68"
branch_labels = None
depends_on = None

INDEX = "ix_users_email_domain"


def upgrade() -> None:
    # PostgreSQL can build it beside running writes, but only outside a transaction. SQLite just builds it.
    with op.get_context().autocommit_block():
        if op.get_bind().dialect.name == "postgresql":
            # An interrupted build leaves an INVALID index of this name, and the revision has to run again.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.create_index(INDEX, "users", ["email_domain"], postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, table_name="users", postgresql_concurrently=True)
