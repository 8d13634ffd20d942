"""Since when a lab's GPUs are known to compute nothing."""

import sqlalchemy as sa
from alembic import op

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("leases", sa.Column("gpu_quiet_since_ms", Big, nullable=True))
