"""Configuration: settings and what they mean for the database, the gateway and webhooks."""
