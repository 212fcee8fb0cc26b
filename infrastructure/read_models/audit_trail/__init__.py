"""The read model audit_trail."""
