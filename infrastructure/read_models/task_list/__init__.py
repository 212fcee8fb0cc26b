"""Read model of tasks: list and counts by status, type, priority and assignee."""
