"""Read model of the audit trail: one row for each event of the log."""
