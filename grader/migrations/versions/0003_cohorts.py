"""Coursework belongs to a cohort of a course; more rules can be set for a cohort or a person."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPEN = sa.text("state IN ('queued', 'running')")


def _cohort() -> sa.Column[str]:
    return sa.Column("cohort", sa.String(length=255), nullable=False, server_default="")


def _rekey(table: str, old: list[str], new: list[str], *more: sa.Column[Any]) -> None:
    """Add the cohort to a table and to the constraint that names its rows."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    # SQLite's constraints have no name: the convention gives them one to be dropped by.
    name = f"{table}_{'_'.join(old)}_key" if postgresql else f"uq_{table}_{old[0]}"
    convention = {"uq": "uq_%(table_name)s_%(column_0_name)s"}
    with op.batch_alter_table(table, naming_convention=convention) as batch:
        for column in (_cohort(), *more):
            batch.add_column(column)
        batch.drop_constraint(name, type_="unique")
        batch.create_unique_constraint(f"{table}_by_cohort", new)


def upgrade() -> None:
    """Apply."""
    _rekey(
        "submissions",
        ["course", "assignment", "username", "attempt"],
        ["course", "cohort", "assignment", "username", "attempt"],
    )
    _rekey("certificates", ["course", "username"], ["course", "cohort", "username"])
    _rekey(
        "dates",
        ["course", "assignment", "username"],
        ["course", "cohort", "assignment", "username"],
        sa.Column("release", sa.DateTime(timezone=True), nullable=True),
        sa.Column("percent_per_day", sa.Float(), nullable=True),
        sa.Column("grace_minutes", _BIG, nullable=True),
        sa.Column("attempts", _BIG, nullable=True),
        sa.Column("cleared", sa.JSON(), nullable=False, server_default="[]"),
    )
    _say_what_none_meant()
    op.drop_index("jobs_one_open_per_target", "jobs")
    with op.batch_alter_table("jobs") as batch:
        batch.add_column(_cohort())
    op.create_index(
        "jobs_one_open_per_target",
        "jobs",
        ["kind", "course", "cohort", "assignment", "submission_id"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )


def _say_what_none_meant() -> None:
    """A row's empty date was "none" so far; now it would be "as for the others"."""
    bind = op.get_bind()
    for row in bind.execute(sa.text("SELECT id, due, close FROM dates")).all():
        cleared = [key for key in ("due", "close") if getattr(row, key) is None]
        bind.execute(
            sa.text("UPDATE dates SET cleared = :cleared WHERE id = :id"),
            {"cleared": json.dumps(cleared), "id": row.id},
        )
