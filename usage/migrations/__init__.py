"""Alembic migrations of the usage database; `usage.database.Database.migrate` runs them."""
