"""Tasks: work that a call left to be done (docs/contracts/tasks.md)."""
