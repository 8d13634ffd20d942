"""The first tables."""

import sqlalchemy as sa
from alembic import op

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "cohorts",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("organisation", sa.String(length=255), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("timezone", sa.String(length=255), nullable=False),
        sa.Column("courses", sa.JSON(), nullable=False),
        sa.Column("lab_max_ms", Big, nullable=True),
        sa.Column("learner_cap", Big, nullable=True),
        sa.Column("max_gpu_labs", Big, nullable=True),
        sa.Column("allowance", Big, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "people",
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("username"),
    )
    op.create_table(
        "slots",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("device", sa.String(length=255), nullable=False),
        sa.Column("gpu", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("memory_mb", Big, nullable=False),
        sa.Column("weight", Big, nullable=False),
        sa.Column("profile", sa.String(length=255), nullable=False),
        sa.Column("healthy", sa.Boolean(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("drained", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_slots_host", "slots", ["host"], unique=False)

    op.create_table(
        "accounts",
        sa.Column("id", Big, nullable=False),
        sa.Column("cohort_id", sa.String(length=255), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("cap", Big, nullable=True),
        sa.Column("settled", Big, nullable=False),
        sa.Column("reserved", Big, nullable=False),
        sa.Column("overrun", Big, nullable=False),
        sa.CheckConstraint("reserved >= 0 AND overrun >= 0", name="accounts_signs"),
        sa.ForeignKeyConstraint(
            ["cohort_id"],
            ["cohorts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("cohort_id", "username"),
    )
    op.create_table(
        "codes",
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("cohort_id", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=255), nullable=False),
        sa.Column("seats", Big, nullable=False),
        sa.Column("used", Big, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("used <= seats", name="codes_seats"),
        sa.ForeignKeyConstraint(
            ["cohort_id"],
            ["cohorts.id"],
        ),
        sa.PrimaryKeyConstraint("code"),
    )
    op.create_index("ix_codes_cohort_id", "codes", ["cohort_id"], unique=False)

    op.create_table(
        "enrolments",
        sa.Column("cohort_id", sa.String(length=255), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=255), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["cohort_id"],
            ["cohorts.id"],
        ),
        sa.PrimaryKeyConstraint("cohort_id", "username"),
    )
    op.create_index("ix_enrolments_username", "enrolments", ["username"], unique=False)

    op.create_table(
        "entries",
        sa.Column("id", Big, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cohort_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("amount", Big, nullable=False),
        sa.Column("overrun", Big, nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=False),
        sa.Column("lease_id", sa.String(length=255), nullable=True),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["cohort_id"],
            ["cohorts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("ix_entries_cohort_id", "entries", ["cohort_id"], unique=False)
    op.create_index("ix_entries_lease_id", "entries", ["lease_id"], unique=False)

    op.create_table(
        "leases",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("spawn_id", sa.String(length=255), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("cohort_id", sa.String(length=255), nullable=False),
        sa.Column("course", sa.String(length=255), nullable=False),
        sa.Column("lab", sa.String(length=255), nullable=False),
        sa.Column("holder", sa.String(length=255), nullable=False),
        sa.Column("language", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.Column("weight", Big, nullable=False),
        sa.Column("grant_ms", Big, nullable=False),
        sa.Column("limit_ms", Big, nullable=False),
        sa.Column("held_ms", Big, nullable=False),
        sa.Column("posted", Big, nullable=False),
        sa.Column("reserved", Big, nullable=False),
        sa.Column("overrun", Big, nullable=False),
        sa.Column("sequence", Big, nullable=False),
        sa.Column("container_id", sa.String(length=255), nullable=False),
        sa.Column("boot_id", sa.String(length=255), nullable=False),
        sa.Column("created_boot_ms", Big, nullable=False),
        sa.Column("seen_boot_ms", Big, nullable=False),
        sa.Column("missing", Big, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.String(length=1000), nullable=False),
        sa.Column("stop_reason", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["cohort_id"],
            ["cohorts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("spawn_id"),
    )
    op.create_index("ix_leases_cohort_id", "leases", ["cohort_id"], unique=False)
    op.create_index("ix_leases_host", "leases", ["host"], unique=False)
    op.create_index("ix_leases_state", "leases", ["state"], unique=False)
    op.create_index("ix_leases_username", "leases", ["username"], unique=False)

    op.create_table(
        "requests",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("cohort_id", sa.String(length=255), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("lease_id", sa.String(length=255), nullable=True),
        sa.Column("minutes", Big, nullable=False),
        sa.Column("note", sa.String(length=1000), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["cohort_id"],
            ["cohorts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_requests_cohort_id", "requests", ["cohort_id"], unique=False)

    op.create_table(
        "lease_slots",
        sa.Column("id", Big, nullable=False),
        sa.Column("lease_id", sa.String(length=255), nullable=False),
        sa.Column("slot_id", sa.String(length=255), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["lease_id"],
            ["leases.id"],
        ),
        sa.ForeignKeyConstraint(
            ["slot_id"],
            ["slots.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_lease_slots_lease_id", "lease_slots", ["lease_id"], unique=False)
    op.create_index(
        "one_open_lease_per_slot",
        "lease_slots",
        ["slot_id"],
        unique=True,
        sqlite_where=sa.text("open"),
        postgresql_where=sa.text("open"),
    )

    op.create_table(
        "warnings",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("lease_id", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("threshold_ms", Big, nullable=False),
        sa.Column("left_ms", Big, nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["lease_id"],
            ["leases.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_warnings_lease_id", "warnings", ["lease_id"], unique=False)
    _forbid_changes_of_entries()


def downgrade() -> None:
    """Undo."""

    op.drop_table("warnings")

    op.drop_table("lease_slots")

    op.drop_table("requests")

    op.drop_table("leases")

    op.drop_table("entries")

    op.drop_table("enrolments")

    op.drop_table("codes")
    op.drop_table("accounts")

    op.drop_table("slots")
    op.drop_table("people")
    op.drop_table("cohorts")


def _forbid_changes_of_entries() -> None:
    """The ledger is append-only: whoever has a wrong line writes a correction."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER entries_no_{verb.lower()} BEFORE {verb} ON entries "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION entries_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER entries_no_change BEFORE UPDATE OR DELETE ON entries "
        "FOR EACH ROW EXECUTE FUNCTION entries_append_only()"
    )
