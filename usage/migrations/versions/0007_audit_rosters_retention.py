"""The audit log, expected people, roster previews, erasures, and how long a cohort's data stays."""

import sqlalchemy as sa
from alembic import op

from store import audit

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Name = sa.String(length=255)
Time = sa.DateTime(timezone=True)

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _audit()
    _rosters()
    _retention()
    for column in ("busy_ms", "told_ms", "told_held_ms"):
        op.add_column("leases", sa.Column(column, Big, nullable=False, server_default="0"))


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", Big, nullable=False),
        sa.Column("at", Time, nullable=False),
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
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        op.execute("DROP TRIGGER entries_no_update")
        op.execute("DROP TRIGGER entries_no_delete")
    else:
        op.execute("DROP TRIGGER entries_no_change ON entries")
    kept = ("id", "at", "cohort_id", "kind", "amount", "overrun", "lease_id", "key")
    for statement in (
        *audit.append_only(dialect, "entries", kept, ("actor", "reason", "username")),
        *audit.append_only(
            dialect,
            "audit",
            ("id", "at", "action", "scope", "details"),
            ("actor", "target", "reason"),
        ),
    ):
        op.execute(statement)


def _rosters() -> None:
    op.create_table(
        "expected",
        sa.Column("id", Big, nullable=False),
        sa.Column("cohort_id", Name, nullable=False),
        sa.Column("email", Name, nullable=False),
        sa.Column("username", Name, nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("role", Name, nullable=False),
        sa.Column("arrived", Name, nullable=False),
        sa.Column("made_by", Name, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohorts.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("cohort_id", "email", "username"),
    )
    op.create_index("ix_expected_email", "expected", ["email"])
    op.create_table(
        "roster_imports",
        sa.Column("id", Name, nullable=False),
        sa.Column("cohort_id", Name, nullable=False),
        sa.Column("made_by", Name, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("applied_at", Time, nullable=True),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohorts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )


def _retention() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", Name, nullable=False),
        sa.Column("username", Name, nullable=False),
        sa.Column("pseudonym", Name, nullable=False),
        sa.Column("asked_by", Name, nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("done", sa.JSON(), nullable=False),
        sa.Column("problem", sa.String(length=1000), nullable=False),
        sa.Column("finished_at", Time, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("keep_until", "deletion_announced_at", "data_deleted_at"):
        op.add_column("cohorts", sa.Column(column, Time, nullable=True))
