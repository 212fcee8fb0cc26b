"""How it is done: the only home of psycopg and of the eventsourcing library."""
