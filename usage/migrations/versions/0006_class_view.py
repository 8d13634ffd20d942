"""What labs say of themselves, and announcements to a cohort."""

import sqlalchemy as sa
from alembic import op

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Name = sa.String(length=255)
Time = sa.DateTime(timezone=True)

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "lab_activity",
        sa.Column("username", Name, nullable=False),
        sa.Column("reported_at", Time, nullable=False),
        sa.Column("active_at", Time, nullable=False),
        sa.Column("runs", Big, nullable=False),
        sa.Column("errors", Big, nullable=False),
        sa.Column("checks", Big, nullable=False),
        sa.Column("failed_checks", Big, nullable=False),
        sa.PrimaryKeyConstraint("username"),
    )
    op.create_table(
        "announcements",
        sa.Column("id", Name, nullable=False),
        sa.Column("cohort_id", Name, nullable=False),
        sa.Column("text", sa.String(length=1000), nullable=False),
        sa.Column("author", Name, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("shown_until", Time, nullable=False),
        sa.Column("withdrawn_at", Time, nullable=True),
        sa.Column("withdrawn_by", Name, nullable=False),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohorts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_announcements_cohort_id", "announcements", ["cohort_id"])
    op.create_table(
        "announcement_reads",
        sa.Column("announcement_id", Name, nullable=False),
        sa.Column("username", Name, nullable=False),
        sa.Column("read_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["announcement_id"], ["announcements.id"]),
        sa.PrimaryKeyConstraint("announcement_id", "username"),
    )
