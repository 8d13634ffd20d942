"""The audit log."""

import sqlalchemy as sa
from alembic import op

from store import audit

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Name = sa.String(length=255)

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit",
        sa.Column("id", Big, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", Name, nullable=False),
        sa.Column("action", Name, nullable=False),
        sa.Column("scope", Name, nullable=False),
        sa.Column("target", Name, nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("at", "actor", "scope"):
        op.create_index(f"ix_audit_{column}", "audit", [column])
    kept, names = ("id", "at", "action", "scope", "details"), ("actor", "target", "reason")
    for statement in audit.append_only(op.get_bind().dialect.name, "audit", kept, names):
        op.execute(statement)
