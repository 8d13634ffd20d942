"""What the services with a database share: transactions, column types, migrations."""
