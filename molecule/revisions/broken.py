"""bill the customers

Fails after it has changed something, as broken revisions do.

Revision ID: 7d20c4f1e9aa
Revises: e81a36d5f0c7
Create Date: 2025-07-21 11:32:08
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "7d20c4f1e9aa"
down_revision = "e81a36d5f0c7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("invoices", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("INSERT INTO invoices (id) SELECT id FROM orders")


def downgrade() -> None:
    op.drop_table("invoices")
