"""longer names

Revision ID: e81a36d5f0c7
Revises: 0d53f7c9be14
Create Date: 2025-06-09 08:20:57
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "e81a36d5f0c7"
down_revision = "0d53f7c9be14"
branch_labels = None
depends_on = None


def upgrade() -> None:
    alter_name(sa.String(50), sa.String(100))


def downgrade() -> None:
    # PostgreSQL refuses this when a name has become longer than 50 characters; it never cuts one.
    alter_name(sa.String(100), sa.String(50))


def alter_name(old: sa.String, new: sa.String) -> None:
    with op.batch_alter_table("users") as users:
        users.alter_column("name", existing_type=old, type_=new, existing_nullable=False)
