"""Read model of callbacks: list and counts by queue."""
