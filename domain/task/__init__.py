"""A task: what a call left to be done (contract 1)."""
