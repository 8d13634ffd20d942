"""An index for what a learner used today."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_entries_username_at", "entries", ["username", "at"])
