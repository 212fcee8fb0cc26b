"""Long-running processes: supervisor, worker, simulator."""
