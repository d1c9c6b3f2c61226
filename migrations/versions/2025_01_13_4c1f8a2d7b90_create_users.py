"""create users

Revision ID: 4c1f8a2d7b90
Revises:
Create Date: 2025-01-13 09:12:41
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "4c1f8a2d7b90"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("email", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )


def downgrade() -> None:
    op.drop_table("users")
