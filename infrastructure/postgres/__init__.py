"""Postgres access: connections, migrations, SQL texts, notifications and batching."""
