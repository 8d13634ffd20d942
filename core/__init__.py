"""Words that every room shares. Standard library and pydantic only: no network, no database."""
