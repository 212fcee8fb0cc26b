"""Subscriptions: keep projections and policies up to date with the log."""
