"""Read model of callback queues: list and live board."""
