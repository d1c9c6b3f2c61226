"""sort every order

Takes long enough for a link to go down meanwhile.

Revision ID: 61fa90c2be37
Revises: e81a36d5f0c7
Create Date: 2025-07-24 17:40:21
"""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "61fa90c2be37"
down_revision = "e81a36d5f0c7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The test waits for it, and takes it away when the link is down.
    begun = Path("/var/lib/site/begun")
    begun.touch()
    deadline = time.monotonic() + 120
    while begun.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    op.create_table("visits", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("visits")
