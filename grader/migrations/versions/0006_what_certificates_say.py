"""What a certificate says stays as it was issued: name, title, hours."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("certificates") as table:
        table.add_column(sa.Column("name", sa.String(255), nullable=False, server_default=""))
        table.add_column(sa.Column("titles", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("hours", sa.Float(), nullable=False, server_default="0"))
