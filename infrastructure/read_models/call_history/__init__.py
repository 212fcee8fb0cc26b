"""Read model of calls: the attempt that a call belongs to."""
