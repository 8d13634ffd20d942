"""Alembic's entry."""

from store import migrations
from usage.models import Base

migrations.run(Base.metadata)
