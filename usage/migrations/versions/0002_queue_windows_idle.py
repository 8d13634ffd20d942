"""The queue, reserved windows, a cap per day, and since when a lab is idle."""

import sqlalchemy as sa
from alembic import op

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("cohorts", sa.Column("daily_cap", Big, nullable=True))
    op.add_column("leases", sa.Column("idle_since_ms", Big, nullable=True))
    op.create_table(
        "waits",
        sa.Column("id", Big, nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("cohort_id", sa.String(length=255), nullable=False),
        sa.Column("course", sa.String(length=255), nullable=False),
        sa.Column("lab", sa.String(length=255), nullable=False),
        sa.Column("need", sa.JSON(), nullable=False),
        sa.Column("language", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.Column("boot_id", sa.String(length=255), nullable=False),
        sa.Column("offered_boot_ms", Big, nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohorts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_waits_username", "waits", ["username"])
    op.create_index("ix_waits_state", "waits", ["state"])
    op.create_index(
        "one_open_wait_per_person",
        "waits",
        ["username"],
        unique=True,
        sqlite_where=sa.text("open"),
        postgresql_where=sa.text("open"),
    )
    op.create_table(
        "windows",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("cohort_id", sa.String(length=255), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seats", Big, nullable=False),
        sa.Column("need", sa.JSON(), nullable=False),
        sa.Column("made_by", sa.String(length=255), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohorts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_windows_cohort_id", "windows", ["cohort_id"])
