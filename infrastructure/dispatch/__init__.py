"""The dispatcher: starts what is due within the limits of the queues, and records what the switch tells (design.md §5)."""
