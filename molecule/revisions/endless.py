"""forget all users, slowly

Takes longer than any window.

Revision ID: 8c1e7d5f2a64
Revises: e81a36d5f0c7
Create Date: 2025-08-04 09:31:17
"""

from __future__ import annotations

import time

from alembic import op

revision = "8c1e7d5f2a64"
down_revision = "e81a36d5f0c7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM users")
    time.sleep(600)


def downgrade() -> None:
    raise RuntimeError("it was never applied")
