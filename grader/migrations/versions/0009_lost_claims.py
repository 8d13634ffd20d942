"""How often a job's worker died is counted apart from how often the job failed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.add_column("jobs", sa.Column("lost", _BIG, nullable=False, server_default="0"))
