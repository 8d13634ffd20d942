"""Alembic's entry."""

from grader.models import Base
from store import migrations

migrations.run(Base.metadata)
