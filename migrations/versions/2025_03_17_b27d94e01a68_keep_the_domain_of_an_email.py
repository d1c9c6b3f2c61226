"""keep the domain of an email

Revision ID: b27d94e01a68
Revises: 9e6b05c3d1f2
Create Date: 2025-03-17 10:02:33
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "b27d94e01a68"
down_revision = "9e6b05c3d1f2"
branch_labels = None
depends_on = None

BATCH = 1000

# Not models.User: the model moves on, this revision must not.
users = sa.table("users", sa.column("id"), sa.column("email"), sa.column("email_domain"))


def upgrade() -> None:
    op.add_column("users", sa.Column("email_domain", sa.String(100), nullable=True))
    fill_domains(op.get_bind())


def downgrade() -> None:
    # Nothing is lost: the domain is made from the email, which stays.
    with op.batch_alter_table("users") as batch:
        batch.drop_column("email_domain")


def fill_domains(connection: sa.Connection) -> None:
    """Walk along the primary key, so that a large table never has to fit into memory."""
    update = users.update().where(users.c.id == sa.bindparam("user_id")).values(email_domain=sa.bindparam("domain"))
    page = sa.select(users.c.id, users.c.email).order_by(users.c.id).limit(BATCH)
    rows = connection.execute(page).all()
    while rows:
        connection.execute(update, [{"user_id": row.id, "domain": domain_of(row.email)} for row in rows])
        rows = connection.execute(page.where(users.c.id > rows[-1].id)).all()


def domain_of(email: str) -> str | None:
    _, at, domain = email.rpartition("@")
    return domain.lower() if at and domain else None
