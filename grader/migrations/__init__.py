"""Alembic migrations of the grader's database; `grader.database.Database.migrate` runs them."""
