"""Solved versions that learners of a cohort may read."""

import sqlalchemy as sa
from alembic import op

Name = sa.String(length=255)

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "solutions",
        sa.Column("course", Name, nullable=False),
        sa.Column("cohort", Name, nullable=False),
        sa.Column("assignment", Name, nullable=False),
        sa.Column("archives", sa.JSON(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_by", Name, nullable=False),
        sa.Column("early", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("course", "cohort", "assignment"),
    )
