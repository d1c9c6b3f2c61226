"""users have one email each

Revision ID: 9e6b05c3d1f2
Revises: 4c1f8a2d7b90
Create Date: 2025-02-03 14:30:05
"""

from __future__ import annotations

from alembic import op

revision = "9e6b05c3d1f2"
down_revision = "4c1f8a2d7b90"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("users") as users:
        users.create_unique_constraint(op.f("uq_users_email"), ["email"])


def downgrade() -> None:
    with op.batch_alter_table("users") as users:
        users.drop_constraint(op.f("uq_users_email"), type_="unique")
