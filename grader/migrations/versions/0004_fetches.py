"""Who took which published assignment into their lab."""

import sqlalchemy as sa
from alembic import op

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Name = sa.String(length=255)

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "fetches",
        sa.Column("course", Name, nullable=False),
        sa.Column("assignment", Name, nullable=False),
        sa.Column("username", Name, nullable=False),
        sa.Column("version", Big, nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("course", "assignment", "username"),
    )
