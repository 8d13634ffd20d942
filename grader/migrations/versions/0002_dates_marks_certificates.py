"""dates, marks, certificates."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _name(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=255), nullable=False)


def _time(name: str, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "dates",
        sa.Column("id", _BIG, nullable=False),
        _name("course"),
        _name("assignment"),
        _name("username"),
        _time("due", nullable=True),
        _time("close", nullable=True),
        _name("set_by"),
        _time("set_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("course", "assignment", "username"),
    )
    op.create_table(
        "marks",
        sa.Column("id", _BIG, nullable=False),
        _name("submission_id"),
        _name("notebook"),
        _name("cell"),
        sa.Column("points", sa.Float(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        _name("given_by"),
        _time("given_at"),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_marks_submission_id", "marks", ["submission_id"], unique=False)
    op.create_table(
        "certificates",
        _name("id"),
        _name("course"),
        _name("username"),
        sa.Column("percent", sa.Float(), nullable=False),
        _time("issued_at"),
        _time("revoked_at", nullable=True),
        _name("revoked_by"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("course", "username"),
    )
