"""count every visit

Takes long enough for other hosts to come to the same database meanwhile.

Revision ID: 52f9b3a6d0c4
Revises: e81a36d5f0c7
Create Date: 2025-07-22 15:04:51
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "52f9b3a6d0c4"
down_revision = "e81a36d5f0c7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SELECT pg_sleep(5)")
    op.create_table("visits", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("visits")
