"""Points by criterion of a rubric."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("marks") as table:
        table.add_column(sa.Column("criteria", sa.JSON(), nullable=False, server_default="[]"))
