"""Labs started before their learners come."""

import sqlalchemy as sa
from alembic import op

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Name = sa.String(length=255)

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("leases", sa.Column("prestarted", Name, nullable=False, server_default=""))
    op.add_column("windows", sa.Column("course", Name, nullable=False, server_default=""))
    op.add_column("windows", sa.Column("lab", Name, nullable=False, server_default=""))
    op.add_column(
        "windows", sa.Column("prestarted", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "prestarts",
        sa.Column("id", Big, nullable=False),
        sa.Column("batch", Name, nullable=False),
        sa.Column("cohort_id", Name, nullable=False),
        sa.Column("username", Name, nullable=False),
        sa.Column("course", Name, nullable=False),
        sa.Column("lab", Name, nullable=False),
        sa.Column("state", Name, nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("detail", Name, nullable=False),
        sa.Column("lease_id", Name, nullable=True),
        sa.Column("made_by", Name, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("return_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("boot_id", Name, nullable=False),
        sa.Column("asked_boot_ms", Big, nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohorts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_prestarts_batch", "prestarts", ["batch"])
    op.create_index("ix_prestarts_cohort_id", "prestarts", ["cohort_id"])
    op.create_index("ix_prestarts_lease_id", "prestarts", ["lease_id"])
    op.create_index(
        "one_open_prestart_per_person",
        "prestarts",
        ["username"],
        unique=True,
        sqlite_where=sa.text("open"),
        postgresql_where=sa.text("open"),
    )
