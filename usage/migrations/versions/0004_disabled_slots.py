"""Slots that an admin disabled, and leases that get no more time."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "slots", sa.Column("disabled", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column(
        "leases",
        sa.Column("closing", sa.String(length=255), nullable=False, server_default=""),
    )
