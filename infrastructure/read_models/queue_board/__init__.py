"""The read model queue_board."""
