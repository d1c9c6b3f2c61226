"""ratings

Fails on the host that is to fail, after it has changed something.

Revision ID: 3c81e07b5d2f
Revises: e81a36d5f0c7
Create Date: 2025-07-23 09:12:44
"""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import op

revision = "3c81e07b5d2f"
down_revision = "e81a36d5f0c7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("rating", sa.Integer(), nullable=True))
    if os.environ.get("FAILS"):
        raise RuntimeError("this host is to fail")


def downgrade() -> None:
    with op.batch_alter_table("users") as users:
        users.drop_column("rating")
